import { inBrackets } from './in-brackets.js';
import { Cover } from './knapsacks.js';
import type { LayerTimes } from './layers.js';
import { INNER, LAST } from './layers.js';
import type { Column } from './packing.js';

/** One LAN, and a round to be done in it. */
export interface PricedLan {
  readonly microbatch: number;
  readonly layers: number;
  /** But for what stages send each other of what they share. */
  readonly roundMs: number;
  readonly steps: number;
  /** Of a hop: period a sample, and delay. */
  readonly hopMs: number;
  readonly hopDelayMs: number;
  /** By device. */
  readonly times: readonly LayerTimes[];
  /** [device][place][layers]: an exchange. */
  readonly exchangeMs: readonly (readonly Float64Array[])[];
  /** What replicas of a stage of one layer take of a round for their sums; Infinity: there are none such. */
  readonly sumsMs: number;
}

/** Samples that a pipeline may manage beyond its members' prices. */
export const TOLERANCE = 1e-3;

/** Rounding. */
const HAIR = 1e-9;

/** Parts of a layer that replicas are told apart by. */
const UNITS = 40;

/** From one period to the next at which layers are shared. */
const FINE = 1.01;

/** A pipeline, and what it manages beyond its members' prices; says whether to look on. */
type Found = (column: Column, over: number) => unknown;

interface Mark {
  readonly ms: number;
  readonly period: number;
}

/**
 * Whether any pipeline in a LAN manages more than the prices of its members together; those that do, the most at each period.
 *
 * With P the period a sample, E the longest exchange and T what it leaves of an inner step, a pipeline of b a microbatch manages
 * n = (T − hops − b Σ k l) / P + b samples, k l ≤ P each, where a device's layer takes it l. For each P that some k l is, which
 * n − Σ prices is the most is a knapsack of devices with layers. E ≥ e + Σ k / K (E′ − e) where K is all layers, E′ > e each device's own and e a lower
 * bound: that is charged in it, and where only this says that a pipeline manages more, it is solved again for E below and from
 * that pipeline's on. Before, a relaxation (any part of a device for that part of its price) says what each layer must be worth, and what can
 * be no part of such a pipeline is left out; so is a beginning that cannot be made up for.
 *
 * Replicas of a stage of one layer make E no less than their sums. Those that P is too short for share layers: a cover, two or more whose parts of
 * layers come to so many, each for its price; with one among them that P is long enough for, the others are of no use. Each other stage is at a hop
 * that no replicas take side by side.
 */
export class LanPricing {
  readonly prices: Float64Array;
  private readonly count: number;
  private readonly periods: Float64Array;
  /** [period][kind][place]: layers done in time with activations kept, and at all. */
  private readonly inTime: Int16Array;
  private readonly kindOf: Int32Array;
  private readonly leastExchangeMs: number;
  /** By period: the least that the longest exchange of a pipeline is. */
  private readonly shortestMs: Float64Array;
  private readonly slowestMs: number;
  /** [device][place][layers] */
  private readonly exchangeMs: Float64Array;
  /** Of a device in the knapsack at hand: most layers by place, and in the relaxation its worth a layer and most layers. */
  private readonly most: Int32Array;
  private readonly ratio: Float64Array;
  private readonly room: Int32Array;
  private readonly used: Uint8Array;
  /** What may be taken, device by device: where each one's ends, its most layers, and what is taken at which cost beyond the relaxation. */
  private readonly devices: Int32Array;
  private readonly ends: Int32Array;
  private readonly rooms: Int32Array;
  private readonly places: Int8Array;
  private readonly takes: Int16Array;
  private readonly costs: Float64Array;
  private weighed = 0;
  /** The period at hand; with layers that are shared, up to which. No whole number at first: V8 compiles anew what reads a field that held only such. */
  private periodMs = NaN;
  private nextMs = NaN;
  private tolerance = TOLERANCE;
  private worth = NaN;
  /** Least costs: [devices weighed][without the last block, with it][layers]. */
  private readonly reached: Float64Array;
  /** Of the solution: layers that are shared. */
  private shared = 0;
  /** … in all, and of each its latency. */
  private readonly cover: Cover;
  private latency = NaN;

  constructor(
    private readonly lan: PricedLan,
    prices: Float64Array,
  ) {
    const { times, layers, exchangeMs, roundMs, steps, hopMs } = lan;
    this.prices = prices.slice();
    this.count = times.length;
    const kinds = [...new Set(times)];
    this.kindOf = Int32Array.from(times, (of) => kinds.indexOf(of));
    const width = layers + 1;
    this.exchangeMs = new Float64Array(this.count * 2 * width);
    for (const [device, places] of exchangeMs.entries()) for (const [place, ms] of places.entries()) this.exchangeMs.set(ms, (2 * device + place) * width);
    this.leastExchangeMs = this.exchangeMs.reduce((least, ms) => Math.min(least, ms), Infinity);
    this.slowestMs = times.reduce((most, { layerMs }) => Math.max(most, layerMs), 0);
    const stageMs = kinds.flatMap((of) => [INNER, LAST].flatMap((place) => Array.from({ length: of.held[place]! + 1 }, (_, count) => msOf(of, place, count))));
    const all = new Set([hopMs, ...stageMs]);
    this.periods = Float64Array.from([...all].filter((ms) => ms > 0 && ms >= hopMs && ms < roundMs / steps)).sort();
    this.inTime = this.layersInTime(kinds);
    this.shortestMs = this.shortestExchanges(kinds.length);
    this.most = new Int32Array(2 * this.count);
    this.ratio = new Float64Array(this.count);
    this.room = new Int32Array(this.count);
    this.used = new Uint8Array(this.count);
    this.devices = new Int32Array(this.count);
    this.ends = new Int32Array(this.count);
    this.rooms = new Int32Array(this.count);
    this.places = new Int8Array(2 * this.count * width);
    this.takes = new Int16Array(2 * this.count * width);
    this.costs = new Float64Array(2 * this.count * width);
    this.reached = new Float64Array(2 * (this.count + 1) * width);
    this.cover = new Cover(this.count, UNITS * layers);
  }

  /** At one period in `step` after another, pipelines that manage so much more than their members' prices, as `found` leaves these. Those that share layers are rarely of use. */
  sweep(tolerance: number, first: number, step: number, found: (columns: readonly Column[]) => void): void {
    this.tolerance = tolerance;
    for (let period = first; period < this.periods.length; period += step) {
      const columns: Column[] = [];
      this.periodMs = this.periods[period]!;
      this.weigh(period, this.shortestMs[period]!, Infinity, false, (column) => columns.push(column));
      if (columns.length > 0) found(columns);
    }
  }

  /** Raises prices, each in proportion, until no pipeline manages more than its members' and `TOLERANCE`. */
  raise(): void {
    const { periods, shortestMs, lan } = this;
    const raising: Found = ({ members, worth }, over) => {
      for (const device of members) this.prices[device]! *= worth / (worth - over);
      return true;
    };
    this.tolerance = TOLERANCE;
    for (let period = 0; period < periods.length; period++) {
      this.periodMs = periods[period]!;
      this.weigh(period, shortestMs[period]!, Infinity, false, raising);
    }
    const marks = this.sharedMarks();
    const shared = (from: number, to: number, found: Found) => {
      this.periodMs = marks[from]!.ms;
      this.nextMs = marks[to]!.ms;
      this.weigh(marks[to - 1]!.period, Math.max(this.leastExchangeMs, lan.sumsMs), Infinity, true, found);
    };
    inBrackets({ begin: 0, end: marks.length - 1 }, shared, raising);
  }

  /** Where periods begin at which layers are shared, to where they are too long for that, and at the latest of which of the others. */
  private sharedMarks(): readonly Mark[] {
    const { periods, slowestMs } = this;
    const marks: Mark[] = [];
    for (let period = 0; period < periods.length; period++) {
      const endMs = Math.min(slowestMs, periods[period + 1] ?? Infinity);
      for (let ms = periods[period]!; ms < endMs; ms *= FINE) marks.push({ ms, period });
    }
    return [...marks, { ms: slowestMs, period: periods.length - 1 }];
  }

  private layersInTime(kinds: readonly LayerTimes[]): Int16Array {
    const inTime = new Int16Array(this.periods.length * kinds.length * 4);
    let column = 0;
    for (const of of kinds) {
      for (const place of [INNER, LAST]) {
        let most = -1;
        for (let period = 0; period < this.periods.length; period++) {
          while (most < of.held[place]! && msOf(of, place, most + 1) <= this.periods[period]! * (1 + HAIR)) most++;
          const at = 4 * kinds.length * period + column;
          inTime[at] = Math.min(most, of.kept[place]!);
          inTime[at + 1] = most;
        }
        column += 2;
      }
    }
    return inTime;
  }

  /** By period, the shortest exchange such that devices have all layers between them within it; the longer the period, the shorter. */
  private shortestExchanges(kinds: number): Float64Array {
    const { kindOf, inTime, exchangeMs, count, periods } = this;
    const { layers } = this.lan;
    const width = layers + 1;
    const msOf = (device: number, taken: number) =>
      Math.min(exchangeMs[2 * device * width + taken]!, exchangeMs[(2 * device + 1) * width + taken]!);
    const steps = Array.from({ length: count * layers }, (_, at) => ({ device: at % count, ms: msOf(at % count, 1 + Math.floor(at / count)) }));
    steps.sort((a, b) => b.ms - a.ms);
    const within = new Int32Array(count).fill(layers);
    const shortest = new Float64Array(periods.length).fill(Infinity);
    let next = 0;
    for (let period = 0; period < periods.length; period++) {
      const mostOf = (device: number) => {
        const at = (period * kinds + kindOf[device]!) * 4;
        return Math.max(inTime[at + 1]!, inTime[at + 3]!, 0);
      };
      let all = 0;
      for (let device = 0; device < count; device++) all += Math.min(within[device]!, mostOf(device));
      while (all >= layers) {
        const { device, ms } = steps[next]!;
        const less = within[device]! <= mostOf(device) ? 1 : 0;
        if (all - less < layers) {
          shortest[period] = Math.max(ms, this.leastExchangeMs);
          break;
        }
        all -= less;
        within[device]!--;
        next++;
      }
    }
    return shortest;
  }

  /** Pipelines of this period, or where layers are shared of periods up to it, with an exchange no shorter than the one and shorter than the other. */
  private weigh(period: number, fromMs: number, belowMs: number, sharing: boolean, found: Found): void {
    const { roundMs, steps, microbatch, hopMs, hopDelayMs, layers } = this.lan;
    const { periodMs } = this;
    const stepMs = (roundMs - fromMs) / steps;
    if (fromMs >= belowMs || !(stepMs > 0)) return;
    // One hop less than stages, but for those that are shared.
    const samples = (stepMs + (sharing ? 0 : microbatch * hopMs + hopDelayMs)) / periodMs + microbatch;
    for (;;) {
      const over = samples - this.cheapest(period, fromMs, belowMs, samples, sharing);
      if (!(over > this.tolerance)) return;
      let [longestMs, charged] = [fromMs, 0];
      const taken: number[] = [];
      this.forEachTaken((device, place, count) => {
        taken.push(device);
        const ms = this.exchangeMs[(2 * device + place) * (layers + 1) + count]!;
        longestMs = Math.max(longestMs, ms);
        charged += (Math.max(0, ms - fromMs) * count) / layers;
      });
      const fewer = (longestMs - fromMs - charged) / (steps * periodMs);
      if (over - fewer <= this.tolerance && fewer >= this.tolerance) {
        this.weigh(period, fromMs, longestMs, sharing, found);
        this.weigh(period, longestMs, belowMs, sharing, found);
        return;
      }
      const more = fewer < this.tolerance ? over : over - fewer;
      const members = this.shared === 0 ? taken : [...new Set([...taken, ...this.cover.members(this.shared * UNITS)])];
      const worth = more + members.reduce((sum, device) => sum + this.prices[device]!, 0);
      if (found({ members, worth }, more) !== true) return;
    }
  }

  /** Least prices and fill, in samples, of devices that have all layers and the last block between them; anything from `samples` on. */
  private cheapest(period: number, fromMs: number, belowMs: number, samples: number, sharing: boolean): number {
    const { microbatch, hopMs, hopDelayMs, layers, times, steps } = this.lan;
    const { prices, kindOf, inTime, exchangeMs, most, ratio, room, count } = this;
    const width = layers + 1;
    const kinds = inTime.length / (4 * this.periods.length);
    const { periodMs } = this;
    const hop = (microbatch * hopMs + hopDelayMs) / periodMs;
    const perMs = microbatch / periodMs;
    const perExchangeMs = 1 / (layers * steps * periodMs);
    let head = Infinity;
    for (let i = 0; i < count; i++) {
      const { layerMs, againMs, headMs } = times[i]!;
      const once = prices[i]! + hop;
      let least = Infinity;
      let rooms = 0;
      for (let place = 0; place < 2; place++) {
        const at = ((period * kinds + kindOf[i]!) * 2 + place) * 2;
        const row = (2 * i + place) * width;
        const kept = inTime[at]!;
        let limit = inTime[at + 1]!;
        while (limit >= 0 && exchangeMs[row + limit]! >= belowMs) limit--;
        most[2 * i + place] = limit;
        if (limit > rooms) rooms = limit;
        // Fewer layers cost no less each than so many without an exchange.
        for (let k = limit; k > 0 && once / k + perMs * layerMs < least; k--) {
          const late = exchangeMs[row + k]! - fromMs;
          const each = once / k + perMs * (k > kept ? againMs : layerMs) + (late > 0 ? late * perExchangeMs : 0);
          if (each < least) least = each;
        }
      }
      if (most[2 * i + 1]! >= 0 && perMs * headMs < head) head = perMs * headMs;
      ratio[i] = least;
      room[i] = rooms;
    }
    if (head === Infinity) return Infinity;
    const enough = samples - this.tolerance;
    if (sharing && !this.mayShare(this.leastShare(), head, enough)) return samples;
    const share = sharing ? this.weighSharing(samples) : Infinity;
    if (sharing && !this.mayShare(share, head, enough)) return samples;
    const relaxed = this.relax(layers, head, share, enough);
    if (relaxed >= enough) return relaxed;
    const { worth } = this;
    const tight = this.listWorthwhile(period, fromMs, worth, head, enough - relaxed);
    if (!tight && !sharing) return samples;
    this.solve(sharing);
    return layers * worth + head + this.finish(sharing, worth);
  }

  /** What so many layers cost at least where any part of a device may be taken, or of a layer that is shared, beside `head`; anything from `enough` on. `worth`: the dearest. */
  private relax(layers: number, head: number, share: number, enough: number): number {
    const { ratio, room, used, count } = this;
    used.fill(0);
    let left = layers;
    let relaxed = head;
    while (left > 0 && relaxed < enough) {
      let best = share;
      let device = -1;
      for (let i = 0; i < count; i++) {
        if (used[i] === 1 || ratio[i]! >= best) continue;
        best = ratio[i]!;
        device = i;
      }
      if (best === Infinity) return Infinity;
      const taken = device < 0 ? left : Math.min(left, room[device]!);
      if (device >= 0) used[device] = 1;
      relaxed += taken * best;
      left -= taken;
      this.worth = best;
    }
    return relaxed;
  }

  /** Whether pipelines may be of use one of whose layers is shared at least. */
  private mayShare(share: number, head: number, enough: number): boolean {
    return this.relax(this.lan.layers - 1, head + share, share, enough) < enough;
  }

  /**
   * What a device may take without being more than `spare` worse than the relaxation, in which a layer is worth so much and the last block `head`.
   * Returns whether that includes what takes a device as long as the period, as something must.
   */
  private listWorthwhile(period: number, fromMs: number, worth: number, head: number, spare: number): boolean {
    const { microbatch, hopMs, hopDelayMs, layers, times, steps } = this.lan;
    const { prices, kindOf, inTime, exchangeMs, most, ratio, room, places, takes, costs, count } = this;
    const width = layers + 1;
    const kinds = inTime.length / (4 * this.periods.length);
    const { periodMs } = this;
    const perMs = microbatch / periodMs;
    const perExchangeMs = 1 / (layers * steps * periodMs);
    this.weighed = 0;
    let listed = 0;
    let tight = period === 0;
    for (let i = 0; i < count; i++) {
      const { layerMs, againMs, headMs, headAgainMs } = times[i]!;
      const once = prices[i]! + (microbatch * hopMs + hopDelayMs) / periodMs;
      const gain = ratio[i]! < worth ? (worth - ratio[i]!) * room[i]! : 0;
      const gainedEach = Math.max(0, worth - perMs * layerMs);
      const first = listed;
      let rooms = 0;
      for (let place = 0; place < 2; place++) {
        const kept = inTime[((period * kinds + kindOf[i]!) * 2 + place) * 2]!;
        const before = period === 0 ? -1 : inTime[(((period - 1) * kinds + kindOf[i]!) * 2 + place) * 2 + 1]!;
        const row = (2 * i + place) * width;
        const fixed = once + gain + (place === LAST ? perMs * headMs - head : 0);
        for (let k = most[2 * i + place]!; k >= 1 - place && fixed - k * gainedEach <= spare; k--) {
          const late = exchangeMs[row + k]! - fromMs;
          const again = k > kept;
          let cost = once + k * (perMs * (again ? againMs : layerMs) - worth) + (late > 0 ? late * k * perExchangeMs : 0);
          if (place === LAST) cost += perMs * (again ? headAgainMs : headMs) - head;
          if (cost + gain > spare) continue;
          tight ||= k > before;
          if (k > rooms) rooms = k;
          places[listed] = place;
          takes[listed] = k;
          costs[listed] = cost;
          listed++;
        }
      }
      if (listed === first) continue;
      this.devices[this.weighed] = i;
      this.ends[this.weighed] = listed;
      this.rooms[this.weighed] = rooms;
      this.weighed++;
    }
    return tight;
  }

  /** The knapsack: all layers, or with `sharing` any number of them. */
  private solve(sharing: boolean): void {
    const { reached, places, takes, costs, ends, rooms, weighed } = this;
    const { layers } = this.lan;
    const width = layers + 1;
    reached.fill(Infinity, 0, 2 * width);
    reached[0] = 0;
    // Layers that the others can still make up for, and the most so far without the last block and with it.
    let lowest = 0;
    if (!sharing) {
      lowest = layers;
      for (let d = 0; d < weighed; d++) lowest -= rooms[d]!;
    }
    let begin = 0;
    let most = 0;
    let mostWithLast = -1;
    for (let d = 0; d < weighed; d++) {
      const row = 2 * d * width;
      const next = row + 2 * width;
      for (let at = row; at < next; at++) reached[at + 2 * width] = reached[at]!;
      const end = ends[d]!;
      const from = Math.max(0, lowest);
      let further = most;
      let furtherWithLast = mostWithLast;
      for (let i = begin; i < end; i++) {
        const take = takes[i]!;
        const cost = costs[i]!;
        const inner = places[i] === INNER;
        const to = Math.min(most, layers - take);
        const target = next + (inner ? 0 : width) + take;
        for (let at = from; at <= to; at++) {
          const sum = reached[row + at]! + cost;
          if (sum < reached[target + at]!) reached[target + at] = sum;
        }
        if (!inner) {
          furtherWithLast = Math.max(furtherWithLast, to + take);
          continue;
        }
        further = Math.max(further, to + take);
        const toWithLast = Math.min(mostWithLast, layers - take);
        for (let at = from; at <= toWithLast; at++) {
          const sum = reached[row + width + at]! + cost;
          if (sum < reached[target + width + at]!) reached[target + width + at] = sum;
        }
        furtherWithLast = Math.max(furtherWithLast, toWithLast + take);
      }
      lowest += rooms[d]!;
      begin = end;
      most = further;
      mostWithLast = furtherWithLast;
    }
  }

  /** Of the solution, what it costs beyond the relaxation, in which a layer is worth so much; layers that nobody has are shared. */
  private finish(sharing: boolean, worth: number): number {
    const { layers } = this.lan;
    const all = 2 * this.weighed * (layers + 1) + 2 * layers + 1;
    this.shared = 0;
    if (!sharing) return this.reached[all]!;
    let best = Infinity;
    for (let shared = 1; shared <= layers; shared++) {
      const cost = this.reached[all - shared]! + this.shareCost(shared) - shared * worth;
      if (cost >= best) continue;
      best = cost;
      this.shared = shared;
    }
    return best;
  }

  /** What a layer that is shared costs at least, where any part of a device may be taken. */
  private leastShare(): number {
    const { periodMs, nextMs } = this;
    const { times, microbatch } = this.lan;
    let least = Infinity;
    let fastestMs = Infinity;
    for (let device = 0; device < this.count; device++) {
      const { layerMs, held } = times[device]!;
      if (layerMs <= periodMs || held[INNER]! < 1) continue;
      fastestMs = Math.min(fastestMs, layerMs);
      least = Math.min(least, this.prices[device]! / Math.ceil((UNITS * nextMs) / layerMs));
    }
    return UNITS * least + (microbatch * fastestMs) / periodMs;
  }

  /** Of layers that are shared by devices for which the period is too short; returns the least of a layer. */
  private weighSharing(most: number): number {
    const { periodMs, nextMs } = this;
    const { times, layers, microbatch } = this.lan;
    let fastestMs = Infinity;
    this.cover.begin(most);
    for (const [device, { layerMs, held }] of times.entries()) {
      if (layerMs <= periodMs || held[INNER]! < 1) continue;
      fastestMs = Math.min(fastestMs, layerMs);
      this.cover.insert(device, this.prices[device]!, Math.ceil((UNITS * nextMs) / layerMs));
    }
    this.cover.settle();
    this.latency = (microbatch * fastestMs) / periodMs;
    let least = Infinity;
    for (let shared = 1; shared <= layers; shared++) least = Math.min(least, this.shareCost(shared) / shared);
    return least;
  }

  private shareCost(shared: number): number {
    return this.cover.cost(shared * UNITS) + shared * this.latency;
  }

  /** Whom the knapsack solved last takes, where and with how many layers. */
  private forEachTaken(visit: (device: number, place: number, layers: number) => void): void {
    const { reached, places, takes, costs, ends } = this;
    const size = 2 * (this.lan.layers + 1);
    let state = size - 1 - this.shared;
    for (let d = this.weighed - 1; d >= 0; d--) {
      const cost = reached[(d + 1) * size + state]!;
      if (cost === reached[d * size + state]!) continue;
      for (let i = d === 0 ? 0 : ends[d - 1]!; i < ends[d]!; i++) {
        if (takes[i]! > state % (size / 2)) continue;
        const before = state - takes[i]! - places[i]! * (size / 2);
        if (before < 0 || reached[d * size + before]! + costs[i]! !== cost) continue;
        visit(this.devices[d]!, places[i]!, takes[i]!);
        state = before;
        break;
      }
    }
  }
}

function msOf({ layerMs, againMs, headMs, headAgainMs, kept }: LayerTimes, place: number, layers: number): number {
  const again = layers > kept[place]!;
  return layers * (again ? againMs : layerMs) + (place === LAST ? (again ? headAgainMs : headMs) : 0);
}
