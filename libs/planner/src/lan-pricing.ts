import { inBrackets } from './in-brackets.js';
import { LanPeriods, type PricedLan, type SharedPeriods } from './lan-periods.js';
import { LayerKnapsack } from './layer-knapsack.js';
import { LAST } from './layers.js';
import type { Column } from './packing.js';
import { Relaxation } from './relaxation.js';
import { SharedLayers } from './shared-layers.js';

/** Samples that a pipeline may manage beyond its members' prices. */
export const TOLERANCE = 1e-3;

/** A pipeline, and what it manages beyond its members' prices; says whether to look on. */
type Found = (column: Column, over: number) => unknown;

/** Which pipelines are looked for: of one period, or of those from one to another whose layers are shared. */
interface Sought {
  readonly period: number;
  readonly periodMs: number;
  /** Undefined: none are shared. */
  readonly sharedToMs: number | undefined;
  /** That manage so many samples more than their members' prices. */
  readonly over: number;
  readonly found: Found;
}

/**
 * Whether any pipeline in a LAN manages more than the prices of its members together; those that do, the most at each period.
 *
 * With P the period a sample, E the longest exchange and T what it leaves of an inner step, a pipeline of b a microbatch manages
 * n = (T − hops − b Σ k l) / P + b samples, k l ≤ P each, where a device's layer takes it l. For each P that some k l is, which
 * n − Σ prices is the most is a knapsack of devices with layers. E ≥ e + Σ k / K (E′ − e) where K is all layers, E′ > e each device's own and e a lower
 * bound: that is charged in it, and where only this says that a pipeline manages more, it is solved again for E below and from
 * that pipeline's on. Before, a relaxation says what each layer must be worth, and what can be no part of such a pipeline is left out; so is a
 * beginning that cannot be made up for.
 *
 * Replicas of a stage of one layer make E no less than their sums. Those that P is too short for share layers; with one among them that P is long enough
 * for, the others are of no use. Each other stage is at a hop that no replicas take side by side.
 */
export class LanPricing {
  readonly prices: Float64Array;
  private readonly count: number;
  private readonly periods: LanPeriods;
  private readonly relaxation: Relaxation;
  private readonly knapsack: LayerKnapsack;
  private readonly sharing: SharedLayers;
  /** By device and place: most layers of those that are sought. */
  private readonly most: Int32Array;
  /** Of the solution: layers that are shared. */
  private shared = 0;

  constructor(
    private readonly lan: PricedLan,
    prices: Float64Array,
  ) {
    this.prices = prices.slice();
    this.count = lan.times.length;
    this.periods = new LanPeriods(lan);
    this.relaxation = new Relaxation(this.count);
    this.knapsack = new LayerKnapsack(this.count, lan.layers);
    this.sharing = new SharedLayers(lan, this.prices);
    this.most = new Int32Array(2 * this.count);
  }

  /** At one period in `step` after another, pipelines that manage so much more than their members' prices, as `found` leaves these. Those that share layers are rarely of use. */
  sweep(over: number, first: number, step: number, found: (columns: readonly Column[]) => void): void {
    for (let period = first; period < this.periods.ms.length; period += step) {
      const columns: Column[] = [];
      this.weighPeriod(period, over, (column) => columns.push(column));
      if (columns.length > 0) found(columns);
    }
  }

  /** Raises prices, each in proportion, until no pipeline manages more than its members' and `TOLERANCE`. */
  raise(): void {
    const raising: Found = ({ members, worth }, over) => {
      for (const device of members) this.prices[device]! *= worth / (worth - over);
      return true;
    };
    for (let period = 0; period < this.periods.ms.length; period++) this.weighPeriod(period, TOLERANCE, raising);
    const shared = this.periods.shared();
    const weigh = (from: number, to: number, found: Found) => this.weighShared(shared[from]!, shared[to - 1]!, shared[to]!, found);
    inBrackets({ begin: 0, end: shared.length - 1 }, weigh, raising);
  }

  private weighPeriod(period: number, over: number, found: Found): void {
    const { ms, shortestMs } = this.periods;
    this.weigh({ period, periodMs: ms[period]!, sharedToMs: undefined, over, found }, shortestMs[period]!, Infinity);
  }

  /** From the first to the last, before the next. */
  private weighShared({ ms: periodMs }: SharedPeriods, { period }: SharedPeriods, { ms: sharedToMs }: SharedPeriods, found: Found): void {
    this.weigh({ period, periodMs, sharedToMs, over: TOLERANCE, found }, Math.max(this.periods.leastExchangeMs, this.lan.sumsMs), Infinity);
  }

  /** With an exchange no shorter than the one and shorter than the other. */
  private weigh(sought: Sought, fromMs: number, belowMs: number): void {
    const { roundMs, steps, microbatch, hopMs, hopDelayMs, layers } = this.lan;
    const { periodMs, sharedToMs, over: least, found } = sought;
    const { exchangeMs } = this.periods;
    const stepMs = (roundMs - fromMs) / steps;
    if (fromMs >= belowMs || !(stepMs > 0)) return;
    // One hop less than stages, but for those that are shared.
    const samples = (stepMs + (sharedToMs === undefined ? microbatch * hopMs + hopDelayMs : 0)) / periodMs + microbatch;
    for (;;) {
      const over = samples - this.cheapest(sought, fromMs, belowMs, samples);
      if (!(over > least)) return;
      let [longestMs, charged] = [fromMs, 0];
      const taken: number[] = [];
      this.knapsack.forEachTaken(layers - this.shared, (device, place, count) => {
        taken.push(device);
        const ms = exchangeMs[this.periods.rowOf(device, place) + count]!;
        longestMs = Math.max(longestMs, ms);
        charged += (Math.max(0, ms - fromMs) * count) / layers;
      });
      const fewer = (longestMs - fromMs - charged) / (steps * periodMs);
      if (over - fewer <= least && fewer >= least) {
        this.weigh(sought, fromMs, longestMs);
        this.weigh(sought, longestMs, belowMs);
        return;
      }
      const more = fewer < least ? over : over - fewer;
      const members = this.shared === 0 ? taken : [...new Set([...taken, ...this.sharing.members(this.shared)])];
      const worth = more + members.reduce((sum, device) => sum + this.prices[device]!, 0);
      if (found({ members, worth }, more) !== true) return;
    }
  }

  /** Least prices and fill, in samples, of devices that have all layers and the last block between them; anything from `samples` on. */
  private cheapest(sought: Sought, fromMs: number, belowMs: number, samples: number): number {
    const { relaxation, sharing, lan } = this;
    const { periodMs, sharedToMs, over } = sought;
    const head = this.relax(sought, fromMs, belowMs);
    if (head === Infinity) return Infinity;
    const enough = samples - over;
    const mayShare = (share: number) => relaxation.solve(lan.layers - 1, head + share, share, enough) < enough;
    if (sharedToMs !== undefined && !mayShare(sharing.leastOf(periodMs, sharedToMs))) return samples;
    const share = sharedToMs === undefined ? Infinity : sharing.weigh(periodMs, sharedToMs, samples);
    if (sharedToMs !== undefined && !mayShare(share)) return samples;
    const relaxed = relaxation.solve(lan.layers, head, share, enough);
    if (relaxed >= enough) return relaxed;
    const { worth } = relaxation;
    const isTight = this.offerWorthwhile(sought, fromMs, worth, head, enough - relaxed);
    if (!isTight && sharedToMs === undefined) return samples;
    this.knapsack.solve(sharedToMs === undefined ? 'all' : 'any');
    return lan.layers * worth + head + (sharedToMs === undefined ? this.solutionWithout() : this.solutionWith(worth));
  }

  /** Says what layers cost of each device, and how many it has; returns what the last block costs at least. */
  private relax({ period, periodMs }: Sought, fromMs: number, belowMs: number): number {
    const { microbatch, hopMs, hopDelayMs, layers, times, steps } = this.lan;
    const { prices, periods, most, count } = this;
    const { exchangeMs } = periods;
    const { each: eachOf, room } = this.relaxation;
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
        const row = periods.rowOf(i, place);
        const kept = periods.mostKept(period, i, place);
        let limit = periods.most(period, i, place);
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
      eachOf[i] = least;
      room[i] = rooms;
    }
    return head;
  }

  /**
   * Offers what a device may take without being more than `spare` worse than the relaxation, in which a layer is worth so much and the last block `head`.
   * Returns whether that includes what takes a device as long as the period, as something must.
   */
  private offerWorthwhile({ period, periodMs }: Sought, fromMs: number, worth: number, head: number, spare: number): boolean {
    const { microbatch, hopMs, hopDelayMs, layers, times, steps } = this.lan;
    const { prices, periods, most, relaxation, knapsack, count } = this;
    const { exchangeMs } = periods;
    const perMs = microbatch / periodMs;
    const perExchangeMs = 1 / (layers * steps * periodMs);
    let isTight = period === 0;
    knapsack.begin();
    for (let i = 0; i < count; i++) {
      const { layerMs, againMs, headMs, headAgainMs } = times[i]!;
      const once = prices[i]! + (microbatch * hopMs + hopDelayMs) / periodMs;
      const gain = relaxation.gain(i, worth);
      const gainedEach = Math.max(0, worth - perMs * layerMs);
      let room = 0;
      for (let place = 0; place < 2; place++) {
        const kept = periods.mostKept(period, i, place);
        const before = period === 0 ? -1 : periods.most(period - 1, i, place);
        const row = periods.rowOf(i, place);
        const fixed = once + gain + (place === LAST ? perMs * headMs - head : 0);
        for (let k = most[2 * i + place]!; k >= 1 - place && fixed - k * gainedEach <= spare; k--) {
          const late = exchangeMs[row + k]! - fromMs;
          const again = k > kept;
          let cost = once + k * (perMs * (again ? againMs : layerMs) - worth) + (late > 0 ? late * k * perExchangeMs : 0);
          if (place === LAST) cost += perMs * (again ? headAgainMs : headMs) - head;
          if (cost + gain > spare) continue;
          isTight ||= k > before;
          if (k > room) room = k;
          knapsack.offer(place, k, cost);
        }
      }
      knapsack.weigh(i, room);
    }
    return isTight;
  }

  /** What a pipeline costs beyond the relaxation where no layers are shared. */
  private solutionWithout(): number {
    this.shared = 0;
    return this.knapsack.cost(this.lan.layers);
  }

  /** … and where at least one is: those that nobody has in the knapsack, of which each is worth so much. */
  private solutionWith(worth: number): number {
    const { layers } = this.lan;
    this.shared = 0;
    let best = Infinity;
    for (let shared = 1; shared <= layers; shared++) {
      const cost = this.knapsack.cost(layers - shared) + this.sharing.cost(shared) - shared * worth;
      if (cost >= best) continue;
      best = cost;
      this.shared = shared;
    }
    return best;
  }
}
