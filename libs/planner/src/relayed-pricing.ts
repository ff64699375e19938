import { inBrackets } from './in-brackets.js';
import type { Options } from './knapsacks.js';
import { HOLDINGS, LeastCosts, MATCHED, NOBODY, OTHERS, Reached } from './knapsacks.js';
import { INNER, LAST } from './layers.js';
import type { Column } from './packing.js';
import type { PricedRelays } from './relayed-options.js';
import { RelayedOptions, UNITS } from './relayed-options.js';
import { GateParts } from './gate-parts.js';
import { SiteParts } from './site-parts.js';
import { WideParts } from './wide-parts.js';

/** From one period to the next. */
const FINE = 1.05;

/** Periods without a pipeline, beyond those with one, after which there is none. */
const NONE_IN_A_ROW = 2;

/** Rounding. */
const HAIR = 1e-9;

/**
 * Whether any pipeline with a hop through the server manages more than the prices of its members together; two lone devices that are
 * matched aside.
 *
 * With P the period a sample, T an inner step and E the longest exchange, a pipeline of b a microbatch manages n = (T − E − Σ latencies) / P + b samples
 * at most. For each P, n − Σ prices is most by a knapsack of devices with layers, each charged its latency, its part of an exchange (E is no less
 * than the mean of all weighed by layers) and, where it is at a relayed hop, its uplink and its delay. Lone devices are, and one at least of each site
 * in the pipeline; with f the one of them with the fastest uplink, no other's takes a sample longer than P less f's. So devices are taken up
 * from the slowest f on, as they come within that.
 *
 * A stage with replicas is a cover: full prices of two or more whose rates come to its layers, charged its sums. At a hop to one device each of them must be
 * as fast as that device; hops go side by side between two such stages alone, as many as either has replicas. Where all hops do, in sites alone, either some stage of two layers has
 * replicas (`DirectCredits.wide` bounds these), or all that have are of one layer: then one of each would do, and the others are paid for their uplinks.
 */
export class RelayedPricing {
  private readonly periods: readonly number[];
  /** All devices, by uplink; and of each and those before it, what one at a hop costs at least, at the period at hand. */
  private readonly ends: readonly number[];
  private readonly floors: Float64Array;
  private readonly options: RelayedOptions;
  private readonly parts: SiteParts;
  private readonly wides: WideParts;
  private readonly gates: GateParts;
  private readonly reached: Reached;
  /** By layers: what they cost at least, of anybody and of devices of sites; and what may be spent on so many, by themselves and beside a device at a hop. */
  private readonly least: Float64Array;
  private readonly leastOfSites: Float64Array;
  private readonly partLimits: Float64Array;
  private readonly limits: Float64Array;
  /** Of those who may take layers, what each layer costs them at least, and the most; those of sites first. */
  private readonly each: Float64Array;
  private readonly most: Float64Array;
  private readonly isTaken: Uint8Array;
  /** What lone devices that were taken up may take: those that are not matched, and all. */
  private readonly ofUnmatched: LeastCosts;
  private readonly ofLone: LeastCosts;
  /** What anybody at a hop costs at least. */
  private cheapest = NaN;
  private readonly width: number;
  /** The cheapest pipeline of one device at a hop: what it costs, which option that is, as what, and whom it is beside. */
  private cost = NaN;
  private chosen = 0;
  private as = 0;
  private beside = NOBODY;

  /** Prices that pipelines were looked for at. */
  private readonly asked: Float64Array;
  /** Places of the periods from the first to the last at which sweeps found any. */
  private readonly useful = { from: Infinity, to: -1 };
  /** Which devices at a hop pipelines are looked for with. */
  private readonly isOpen: Uint8Array;

  constructor(
    private readonly relays: PricedRelays,
    readonly prices: Float64Array,
  ) {
    const { times, layers, uplinkMs, stepMs } = relays;
    this.width = layers + 1;
    this.options = new RelayedOptions(relays);
    this.ends = [...times.keys()].sort((a, b) => uplinkMs[a]! - uplinkMs[b]! || a - b);
    this.floors = new Float64Array(times.length);
    this.least = new Float64Array(this.width);
    this.leastOfSites = new Float64Array(this.width);
    this.partLimits = new Float64Array(this.width);
    this.limits = new Float64Array(this.width);
    this.each = new Float64Array(times.length);
    this.most = new Float64Array(times.length);
    this.isTaken = new Uint8Array(times.length);
    this.ofUnmatched = new LeastCosts(this.width);
    this.ofLone = new LeastCosts(this.width);
    this.parts = new SiteParts(relays, this.options, prices, this.partLimits);
    this.wides = new WideParts(relays, this.options, this.parts, prices);
    this.gates = new GateParts(relays, this.options, this.parts, this.wides, prices);
    this.asked = prices.slice();
    this.isOpen = new Uint8Array(times.length);
    this.reached = new Reached(2 * times.length, HOLDINGS, this.limits);
    const periods: number[] = [];
    for (let ms = 2 * Math.min(uplinkMs[this.ends[0]!]!, this.wides.fastestSideMs); ms < stepMs; ms *= FINE) periods.push(ms);
    this.periods = [...periods, stepMs];
  }

  /**
   * At one period in `step` after another, pipelines that manage so much more than their members' prices, as `found` leaves these; not far from
   * those at which there were any before, and until there are none.
   */
  sweep(tolerance: number, first: number, step: number, found: (columns: readonly Column[]) => void): void {
    const { useful } = this;
    const [from, to] = useful.to < 0 ? [0, Infinity] : [useful.from - step, useful.to + step];
    let without = 0;
    for (let period = first; period + 1 < this.periods.length && period <= to && without < NONE_IN_A_ROW; period += step) {
      if (period < from) continue;
      const columns: Column[] = [];
      this.isOpen.fill(1);
      this.weigh(period, period + 1, tolerance, (column) => columns.push(column));
      if (columns.length === 0) {
        if (useful.to >= 0 && period > useful.to) without++;
        continue;
      }
      without = 0;
      useful.from = Math.min(useful.from, period);
      useful.to = Math.max(useful.to, period);
      found(columns);
    }
  }

  /** Raises prices, each of a pipeline's members' by as much, until none manages more than these and `tolerance`. Where sweeps found any, period by period. */
  raise(tolerance: number): void {
    let raised = false;
    const weigh = (from: number, to: number, found: (column: Column) => unknown) => {
      this.isOpen.fill(1);
      do {
        raised = false;
        this.weigh(from, to, tolerance, found);
      } while (raised);
    };
    const raising = ({ members, worth }: Column) => {
      const over = worth - this.priceOf(members);
      // Found at prices that have been raised since.
      if (over <= tolerance) return;
      for (const device of members) this.prices[device]! += over / members.length;
      raised = true;
    };
    const end = this.periods.length - 1;
    const from = Math.min(end, this.useful.from);
    const to = Math.max(from, this.useful.to + 1);
    inBrackets({ begin: 0, end: from }, weigh, raising);
    inBrackets({ begin: from, end: to, widest: 1 }, weigh, raising);
    inBrackets({ begin: to, end }, weigh, raising);
  }

  private priceOf(members: readonly number[]): number {
    return members.reduce((sum, device) => sum + this.prices[device]!, 0);
  }

  /** Of periods from the one to the other, with the devices that are open; from here on, those with which there is such a pipeline. `found` returns false where one is enough. */
  private weigh(from: number, to: number, tolerance: number, found: (column: Column) => unknown): void {
    const { stepMs, microbatch, layers, uplinkMs } = this.relays;
    const { reached, ends, prices, options, parts, wides, gates, floors, isOpen } = this;
    const periodMs = this.periods[from]!;
    const nextMs = this.periods[to]! * (1 + HAIR);
    const samples = stepMs / periodMs + microbatch;
    const limit = samples - tolerance;
    options.at(periodMs, nextMs);
    this.relax(limit);
    if (this.least[layers]! >= limit) return;
    // f from the slowest that can be the fastest of two.
    let at = ends.length - 1;
    while (at >= 0 && 2 * uplinkMs[ends[at]!]! > nextMs) at--;
    for (let k = 0; k <= layers; k++) this.partLimits[k] = limit - (at < 0 ? this.leastOfSites : this.least)[layers - k]!;
    parts.begin();
    wides.begin(limit);
    gates.begin(limit);
    this.asked.set(prices);
    wides.weigh(this.leastOfSites[layers]!, (members, cost) => this.report(members, samples - cost, found));
    reached.begin();
    this.ofUnmatched.begin();
    this.ofLone.begin();
    for (let i = 0, floor = Infinity; i <= at; i++) {
      if (isOpen[ends[i]!] === 1) floor = Math.min(floor, prices[ends[i]!]! + options.hopCost(ends[i]!));
      floors[i] = floor;
    }
    for (let further = at + 1, floor = -1; at >= 0 && floors[at]! < limit; at--) {
      const f = ends[at]!;
      if (floors[at]! > floor) {
        floor = floors[at]!;
        for (let k = 0; k <= layers; k++) this.limits[k] = limit - Math.max(floor, this.least[layers - k]!);
      }
      for (; further < ends.length && uplinkMs[ends[further]!]! + uplinkMs[f]! <= nextMs; further++) this.insert(ends[further]!, limit - floor);
      if (isOpen[f] === 1 && prices[f]! + options.hopCost(f) + reached.cheapest < limit && this.weighWith(f, limit)) {
        const [place, k] = [this.chosen < this.width ? INNER : LAST, this.chosen % this.width];
        const members = [...this.takenBy(this.as, place, k)];
        reached.forEach(this.beside, 1 - place, layers - k, (device, where, count) => members.push(...this.takenBy(device, where, count)));
        if (this.report(members, samples - this.cost, found) === false) return;
      } else isOpen[f] = 0;
      if (at > 0) this.insert(f, limit - floors[at - 1]!);
    }
  }

  /** Takes a device up that may be beside one at a hop, if it costs less than `below`. */
  private insert(device: number, below: number): void {
    const { options, parts, gates, reached } = this;
    const hop = options.hopCost(device);
    const once = this.prices[device]! + hop;
    if (once >= below) return;
    if (parts.isLone(device)) {
      const priced = options.priced(device, once);
      const matched = this.relays.matched[device] === 1;
      this.keepUseful(priced, matched, below);
      if (priced.count > 0) reached.insert(device, priced, matched ? MATCHED : OTHERS);
      return;
    }
    const joined = gates.joinedOf(device, below);
    if (joined.count > 0) reached.insert(-1 - device, joined, OTHERS);
    reached.insert(device, gates.of(device), OTHERS);
    gates.take(device);
  }

  /** Whether this device at a hop, with those taken up, costs less than so much; two that are matched aside. */
  private weighWith(f: number, limit: number): boolean {
    const { options, parts, gates } = this;
    const { endsMeet } = this.relays;
    const hop = options.hopCost(f);
    const once = this.prices[f]! + hop;
    this.cost = limit;
    if (parts.isLone(f)) this.consider(f, options.priced(f, once), this.relays.matched[f] === 1 ? OTHERS : MATCHED);
    else {
      this.consider(-1 - f, gates.joinedOf(f, limit), endsMeet ? NOBODY : MATCHED);
      this.consider(f, gates.of(f), MATCHED);
    }
    return this.cost < limit;
  }

  /** Who does so many layers for a device; or, of −1 less one at a hop, for a part with replicas. */
  private takenBy(as: number, place: number, layers: number): readonly number[] {
    if (as < 0) return this.gates.takenByJoined(-1 - as, place, layers);
    return this.parts.isLone(as) ? [as] : this.gates.takenBy(as, place, layers);
  }

  private consider(as: number, { count, places, layers, costs }: Options, from: number): void {
    const { reached } = this;
    for (let o = 0; o < count; o++) {
      for (let beside = from; beside < HOLDINGS; beside++) {
        const cost = costs[o]! + reached.cost(beside, 1 - places[o]!, this.relays.layers - layers[o]!);
        if (cost >= this.cost) continue;
        this.cost = cost;
        this.chosen = places[o]! * this.width + layers[o]!;
        this.as = as;
        this.beside = beside;
      }
    }
  }

  /** What costs less than `below`, but for what as many lone devices as a pipeline can have beside this one may take for no more: one of them is free. */
  private keepUseful(priced: Options, matched: boolean, below: number): void {
    const { ofUnmatched, ofLone, cheapest } = this;
    const known = matched ? ofLone : ofUnmatched;
    const { places, layers, costs } = priced;
    let kept = 0;
    for (let o = 0; o < priced.count; o++) {
      const place = places[o]!;
      const k = layers[o]!;
      const cost = costs[o]!;
      if (cost >= below) continue;
      // Each has a layer at least, but for the last stage.
      const beside = Math.min(Math.floor((below - cost) / cheapest), this.width - k);
      if (known.isOutdone(place, k, cost, beside)) continue;
      ofLone.add(place, k, cost);
      if (!matched) ofUnmatched.add(place, k, cost);
      places[kept] = place;
      layers[kept] = k;
      costs[kept++] = cost;
    }
    priced.count = kept;
  }

  private report(members: readonly number[], over: number, found: (column: Column) => unknown): unknown {
    return found({ members, worth: members.reduce((sum, device) => sum + this.asked[device]!, 0) + over });
  }

  /** The least that so many layers cost, whoever does them, where any part of a device may be taken for that part of what it costs. */
  private relax(limit: number): void {
    const { uplinkMs, times, innerMs, lastMs } = this.relays;
    const { options, parts, prices, each, most } = this;
    this.cheapest = Infinity;
    let takers = 0;
    let ofSites = 0;
    for (const lone of [false, true]) {
      ofSites = takers;
      for (let device = 0; device < times.length; device++) {
        if (parts.isLone(device) !== lone || (lone && uplinkMs[device]! + uplinkMs[this.ends[0]!]! > options.nextMs)) continue;
        const once = prices[device]! + (lone ? options.hopCost(device) : 0);
        if (once >= limit) continue;
        const atHop = lone ? once + Math.min(innerMs[device]!, lastMs[device]!) / options.periodMs : once + options.hopCost(device);
        if (atHop < this.cheapest) this.cheapest = atHop;
        const { count, layers, costs } = options.latencies[options.kindOf[device]!]!;
        let least = Infinity;
        let room = 0;
        for (let o = 0; o < count; o++) {
          const k = layers[o]!;
          if (k > room) room = k;
          if (k > 0) least = Math.min(least, (once + costs[o]!) / k);
        }
        if (!lone) {
          room = Math.max(room, options.shareOf(device) / UNITS);
          least = Math.min(least, once / room);
        }
        if (room === 0) continue;
        each[takers] = least;
        most[takers++] = room;
      }
    }
    this.fill(this.leastOfSites, ofSites);
    this.fill(this.least, takers);
  }

  /** By layers, by the first so many of those who may take them. */
  private fill(into: Float64Array, takers: number): void {
    const { each, most, isTaken } = this;
    isTaken.fill(0, 0, takers);
    let [left, cost, least] = [0, 0, 0];
    into[0] = 0;
    for (let layers = 1; layers < into.length; layers++) {
      for (let need = 1; need > 0 && cost < Infinity;) {
        if (left <= 0) {
          let next = -1;
          least = Infinity;
          for (let i = 0; i < takers; i++) {
            if (isTaken[i] === 1 || each[i]! >= least) continue;
            least = each[i]!;
            next = i;
          }
          left = next < 0 ? Infinity : most[next]!;
          if (next >= 0) isTaken[next] = 1;
        }
        const taken = Math.min(need, left);
        cost += taken * least;
        need -= taken;
        left -= taken;
      }
      into[layers] = cost;
    }
  }
}
