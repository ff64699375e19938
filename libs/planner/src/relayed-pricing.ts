import type { Options } from './knapsacks.js';
import { Cover, emptyOptions, HOLDINGS, LONE, MATCHED, MIXED, NOBODY, PARTS, Reached, WIDE } from './knapsacks.js';
import type { LayerTimes } from './layers.js';
import { INNER, LAST } from './layers.js';
import type { Column } from './packing.js';

/** Devices whose pipelines through the server are priced, and a round to be done in it. */
export interface PricedRelays {
  readonly microbatch: number;
  readonly layers: number;
  /** Of an inner step, of its time. */
  readonly stepMs: number;
  readonly steps: number;
  /** By device. */
  readonly times: readonly LayerTimes[];
  /** Of a sample, over the device's uplink; and the delay of its hops. */
  readonly uplinkMs: Float64Array;
  readonly delayMs: Float64Array;
  /** [device][place][layers]: an exchange. */
  readonly exchangeMs: readonly (readonly Float64Array[])[];
  /** Devices that reach each other directly; and of the lone ones, those of which any two are priced otherwise. */
  readonly sites: readonly (readonly number[])[];
  readonly matched: Uint8Array;
  /** [site][place][layers]: of a round, the exchange and the sums of a stage of replicas; none of a lone device. */
  readonly wideMs: readonly (readonly Float64Array[])[];
}

/** From one period to the next. */
const FINE = 1.05;

/** Rounding. */
const HAIR = 1e-9;

const BESIDE_MATCHED = [LONE, PARTS, WIDE, MIXED];
const BESIDE_LONE = [MATCHED, ...BESIDE_MATCHED];
const BESIDE_PART = [MATCHED, LONE, PARTS, WIDE, MIXED];

/** Of a part that is alone. */
const NONE = -1;

/** Parts of a layer that replicas are told apart by. */
const UNITS = 4;

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
 * A site's part with replicas is a cover: full prices of two or more whose rates come to the layers of the stage, charged its sums. Hops go side by
 * side between two such parts alone, as many as either has replicas. Where all hops do, in sites alone, either some stage of two layers has
 * replicas (`wideCredit` bounds these), or all that have are of one layer: then one of each would do, and the others are paid for their uplinks.
 */
export class RelayedPricing {
  private readonly width: number;
  private readonly periods: readonly number[];
  private readonly kinds: readonly LayerTimes[];
  private readonly kindOf: Int32Array;
  /** All devices, by uplink. */
  private readonly ends: readonly number[];
  private readonly sites: readonly (readonly number[])[];
  private readonly siteOf: Int32Array;
  /** [site][replicas − 2]: the least that a sample takes so many uplinks, side by side; and of all sites. */
  private readonly sideBySideMs: readonly (readonly number[])[];
  private readonly fastestSideMs: number;
  /** By site, at the period at hand. */
  private readonly parts: (Reached | undefined)[];
  private readonly sides: ({ readonly members: readonly number[] | undefined } | undefined)[];
  private readonly joints: (Table | undefined)[];
  private readonly tables: Reached[] = [];
  private readonly scratch: Options;
  private readonly whole: Float64Array;
  private readonly covers: Cover[] = [];
  private readonly wides: Table[] = [];
  private readonly widest: Table;
  private readonly chained: Table;
  private readonly linked: Table;
  private readonly links: Table;
  /** By layers: what they cost at least, and what may be spent on so many. */
  private readonly least: Float64Array;
  private readonly limits: Float64Array;
  private periodMs = 0;
  private nextMs = 0;
  /** By kind, at the period at hand: what a device may take, at which cost. */
  private readonly options: Options[];
  private readonly reached: Reached;
  /** Lone devices taken up, by kind and whether they are matched; what each costs, by option; and by kind, what any costs at least. */
  private readonly alike: number[][];
  private readonly taking: Float64Array;
  private readonly cheapestOfKind: Float64Array;

  constructor(
    private readonly relays: PricedRelays,
    readonly prices: Float64Array,
  ) {
    const { times, layers, uplinkMs, sites, stepMs } = relays;
    this.width = layers + 1;
    this.limits = new Float64Array(this.width);
    this.kinds = [...new Set(times)];
    this.kindOf = Int32Array.from(times, (of) => this.kinds.indexOf(of));
    this.ends = [...times.keys()].sort((a, b) => uplinkMs[a]! - uplinkMs[b]! || a - b);
    this.sites = sites;
    this.siteOf = new Int32Array(times.length);
    for (const [site, members] of sites.entries()) for (const device of members) this.siteOf[device] = site;
    this.parts = sites.map(() => undefined);
    this.sides = sites.map(() => undefined);
    this.joints = sites.map(() => undefined);
    this.alike = [...this.kinds, ...this.kinds].map(() => []);
    this.taking = new Float64Array(times.length * 2 * this.width);
    this.cheapestOfKind = new Float64Array(this.kinds.length);
    this.scratch = emptyOptions(this.width);
    this.whole = new Float64Array(2 * this.width);
    this.widest = emptyTable(this.width);
    this.chained = emptyTable(this.width);
    this.linked = emptyTable(this.width);
    this.links = emptyTable(this.width);
    this.least = new Float64Array(this.width);
    const periods: number[] = [];
    this.sideBySideMs = sites.map((members) => (members.length === 1 ? [] : sideBySide(members.map((device) => uplinkMs[device]!))));
    this.fastestSideMs = Math.min(...this.sideBySideMs.flat());
    for (let ms = 2 * Math.min(uplinkMs[this.ends[0]!]!, this.fastestSideMs); ms < stepMs; ms *= FINE) periods.push(ms);
    this.periods = [...periods, stepMs];
    this.options = this.kinds.map(() => emptyOptions(this.width));
    this.reached = new Reached(2 * times.length, HOLDINGS, this.limits);
  }

  /** At one period in `step` after another, pipelines that manage so much more than their members' prices, as `found` leaves these. */
  sweep(tolerance: number, first: number, step: number, found: (columns: readonly Column[]) => void): void {
    for (let period = first; period + 1 < this.periods.length; period += step) {
      const columns: Column[] = [];
      this.weigh(period, tolerance, (column) => columns.push(column));
      if (columns.length > 0) found(columns);
    }
  }

  /** Raises prices, each of a pipeline's members' by as much, until none manages more than these and `tolerance`. */
  raise(tolerance: number): void {
    for (let period = 0; period + 1 < this.periods.length; period++) {
      for (let changed = true; changed;) {
        changed = false;
        this.weigh(period, tolerance, ({ members, worth }) => {
          const over = worth - this.priceOf(members);
          // Found at prices that have been raised since.
          if (over <= tolerance) return;
          for (const device of members) this.prices[device]! += over / members.length;
          changed = true;
        });
      }
    }
  }

  private priceOf(members: readonly number[]): number {
    return members.reduce((sum, device) => sum + this.prices[device]!, 0);
  }

  private weigh(period: number, tolerance: number, found: (column: Column) => void): void {
    const { stepMs, microbatch, layers, uplinkMs, delayMs, matched } = this.relays;
    const { reached, ends, prices, options, kindOf } = this;
    const periodMs = this.periods[period]!;
    const nextMs = this.periods[period + 1]! * (1 + HAIR);
    const samples = stepMs / periodMs + microbatch;
    const limit = samples - tolerance;
    const hopCost = (device: number) => (microbatch * uplinkMs[device]! + delayMs[device]!) / periodMs;
    this.periodMs = periodMs;
    this.nextMs = nextMs;
    this.listOptions(periodMs, nextMs);
    this.relax(limit);
    if (this.least[layers]! >= limit) return;
    for (let at = 0; at <= layers; at++) this.limits[at] = limit - this.least[layers - at]!;
    reached.begin();
    this.parts.fill(undefined);
    this.sides.fill(undefined);
    this.joints.fill(undefined);
    for (const list of this.alike) list.length = 0;
    // f from the slowest that can be the fastest of two.
    let at = ends.length - 1;
    while (at >= 0 && 2 * uplinkMs[ends[at]!]! > nextMs) at--;
    let further = at + 1;
    const insert = (device: number) => {
      const once = prices[device]! + hopCost(device);
      if (once >= limit) return;
      const site = this.siteOf[device]!;
      if (this.sites[site]!.length === 1) {
        const priced = this.priced(device, once, options[kindOf[device]!]!);
        if (!this.isOutdone(device, priced, limit)) reached.insert(device, priced, matched[device] === 1 ? MATCHED : LONE);
      } else {
        reached.insert(device, this.partOf(device, once, this.part(site, limit)), PARTS);
        const wide = this.wideOf(device, hopCost(device), limit);
        if (wide.count > 0) reached.insert(-1 - device, wide, WIDE);
      }
    };
    if (this.fastestSideMs < Infinity) {
      this.weighSites(limit, (members, cost) => this.report(members, samples - cost, found));
      if (at >= 0) this.widenAll(limit);
    }
    for (; at >= 0; at--) {
      const f = ends[at]!;
      for (; further < ends.length && uplinkMs[ends[further]!]! + uplinkMs[f]! <= nextMs; further++) insert(ends[further]!);
      const once = prices[f]! + hopCost(f);
      if (once < limit) {
        const site = this.siteOf[f]!;
        const alone = this.sites[site]!.length === 1;
        const of = alone ? this.priced(f, once, options[kindOf[f]!]!) : this.partOf(f, once, this.part(site, limit));
        let [least, best, beside, joined] = [limit, -1, NOBODY, f];
        const consider = (as: number, options: Options, holdings: readonly number[]) => {
          for (let o = 0; o < options.count; o++) {
            for (const m of holdings) {
              const cost = options.costs[o]! + reached.cost(m, 1 - options.places[o]!, layers - options.layers[o]!);
              if (cost < least) [least, best, beside, joined] = [cost, options.places[o]! * this.width + options.layers[o]!, m, as];
            }
          }
        };
        consider(f, of, alone ? (matched[f] === 1 ? BESIDE_MATCHED : BESIDE_LONE) : BESIDE_PART);
        if (!alone) consider(-1 - f, this.wideOf(f, hopCost(f), limit), BESIDE_PART);
        if (best >= 0) {
          const [place, k] = [best < this.width ? INNER : LAST, best % this.width];
          const members = [...this.takenBy(joined, place, k)];
          reached.forEach(beside, 1 - place, layers - k, (device, where, count) => members.push(...this.takenBy(device, where, count)));
          this.report([...new Set(members)], samples - least, found);
        }
      }
      insert(f);
    }
  }

  /** Whether as many of its kind as a pipeline can have cost no more, whatever they take: another is of no use then. */
  private isOutdone(device: number, { count, costs }: Options, limit: number): boolean {
    const { taking, width } = this;
    const kind = this.kindOf[device]!;
    const alike = this.alike[2 * kind + this.relays.matched[device]!]!;
    const most = Math.floor(limit / this.cheapestOfKind[kind]!);
    let better = 0;
    for (const other of alike) {
      const row = other * 2 * width;
      let o = 0;
      while (o < count && taking[row + o]! <= costs[o]!) o++;
      if (o === count && ++better >= most) return true;
    }
    for (let o = 0; o < count; o++) taking[device * 2 * width + o] = costs[o]!;
    alike.push(device);
    return false;
  }

  /** What a device costs by itself, with all that it is charged. */
  private priced(device: number, once: number, { count, places, layers, costs }: Options): Options {
    const { layers: all, steps, exchangeMs } = this.relays;
    const into = this.scratch;
    const perExchange = 1 / (all * steps * this.periodMs);
    into.count = count;
    for (let o = 0; o < count; o++) {
      const [place, k] = [places[o]!, layers[o]!];
      into.places[o] = place;
      into.layers[o] = k;
      into.costs[o] = once + costs[o]! + exchangeMs[device]![place]![k]! * k * perExchange;
    }
    return into;
  }

  /** What devices of a site do between them. */
  private part(site: number, limit: number): Reached {
    const known = this.parts[site];
    if (known !== undefined) return known;
    const of = (this.tables[site] ??= new Reached(this.sites[site]!.length, 1, this.limits));
    of.begin();
    for (const device of this.sites[site]!) {
      const once = this.prices[device]!;
      if (once < limit) of.insert(device, this.priced(device, once, this.options[this.kindOf[device]!]!), NOBODY);
    }
    return (this.parts[site] = of);
  }

  /** A device at a hop with any others of its site. */
  private partOf(gate: number, once: number, others: Reached): Options {
    const own = this.priced(gate, once, this.options[this.kindOf[gate]!]!);
    const { width, whole } = this;
    whole.fill(Infinity);
    for (let o = 0; o < own.count; o++) {
      const [place, k, cost] = [own.places[o]!, own.layers[o]!, own.costs[o]!];
      for (let last = 0; last + place < 2; last++)
        for (let at = 0; at + k < width; at++) {
          const to = (last | place) * width + at + k;
          whole[to] = Math.min(whole[to]!, cost + others.cost(0, last, at));
        }
    }
    const into = this.scratch;
    into.count = 0;
    for (let at = 0; at < 2 * width; at++) {
      if (whole[at] === Infinity) continue;
      into.places[into.count] = at < width ? 0 : 1;
      into.layers[into.count] = at % width;
      into.costs[into.count++] = whole[at]!;
    }
    return into;
  }

  /** Who does so many layers for a device at a hop. */
  private takenBy(gate: number, place: number, layers: number): readonly number[] {
    if (gate < 0) return this.takenByWide(-1 - gate, place, layers);
    const others = this.parts[this.siteOf[gate]!];
    if (others === undefined) return [gate];
    const own = this.priced(gate, 0, this.options[this.kindOf[gate]!]!);
    let [least, last, left] = [Infinity, 0, 0];
    for (let o = 0; o < own.count; o++) {
      if (own.places[o]! > place || own.layers[o]! > layers) continue;
      const cost = own.costs[o]! + others.cost(0, place - own.places[o]!, layers - own.layers[o]!);
      if (cost < least) [least, last, left] = [cost, place - own.places[o]!, layers - own.layers[o]!];
    }
    const members = [gate];
    others.forEach(0, last, left, (device) => members.push(device));
    return members;
  }

  private report(members: readonly number[], over: number, found: (column: Column) => void): void {
    found({ members, worth: this.priceOf(members) + over });
  }

  /** The least that so many layers cost, whoever does them, where any part of a device may be taken for that part of what it costs; into `least`. */
  private relax(limit: number): void {
    const { microbatch, uplinkMs, delayMs, layers: all, times } = this.relays;
    const takers: { readonly each: number; readonly most: number }[] = [];
    this.cheapestOfKind.fill(Infinity);
    for (const [device, price] of this.prices.entries()) {
      const alone = this.sites[this.siteOf[device]!]!.length === 1;
      if (alone && uplinkMs[device]! + uplinkMs[this.ends[0]!]! > this.nextMs) continue;
      const once = price + (alone ? (microbatch * uplinkMs[device]! + delayMs[device]!) / this.periodMs : 0);
      if (once >= limit) continue;
      const kind = this.kindOf[device]!;
      if (alone) this.cheapestOfKind[kind] = Math.min(this.cheapestOfKind[kind]!, once);
      const { count, layers, costs } = this.options[kind]!;
      let [each, most] = [Infinity, 0];
      for (let o = 0; o < count; o++) {
        if (layers[o] === 0) continue;
        most = Math.max(most, layers[o]!);
        each = Math.min(each, (once + costs[o]!) / layers[o]!);
      }
      if (!alone) {
        const { layerMs, held } = times[device]!;
        most = Math.max(most, this.shareOf(layerMs, held) / UNITS);
        each = Math.min(each, once / most);
      }
      if (most > 0) takers.push({ each, most });
    }
    takers.sort((a, b) => a.each - b.each);
    let [next, left, cost] = [-1, 0, 0];
    this.least[0] = 0;
    for (let layers = 1; layers <= all; layers++) {
      for (let need = 1; need > 0 && cost < Infinity;) {
        if (left <= 0) left = takers[++next]?.most ?? Infinity;
        const taken = Math.min(need, left);
        cost += taken * (takers[next]?.each ?? Infinity);
        need -= taken;
        left -= taken;
      }
      this.least[layers] = cost;
    }
  }

  /** The most that a replica does of a stage, in units. */
  private shareOf(layerMs: number, held: readonly number[]): number {
    return Math.ceil(UNITS * Math.min(this.relays.layers, Math.max(held[INNER]!, held[LAST]!), this.nextMs / layerMs));
  }

  private listOptions(periodMs: number, nextMs: number): void {
    const perMs = this.relays.microbatch / periodMs;
    for (const [kind, { layerMs, againMs, headMs, headAgainMs, kept, held }] of this.kinds.entries()) {
      const options = this.options[kind]!;
      options.count = 0;
      for (const place of [INNER, LAST]) {
        const inTime = (each: number, head: number) => Math.floor((nextMs - (place === LAST ? head : 0)) / each);
        const fast = Math.min(kept[place]!, inTime(layerMs, headMs));
        const most = Math.max(fast, Math.min(held[place]!, Math.max(inTime(againMs, headAgainMs), place === INNER ? 1 : 0)));
        for (let k = most; k > 0 || (k === 0 && place === LAST); k--) {
          const again = k > fast;
          const head = place === LAST ? (again ? headAgainMs : headMs) : 0;
          options.places[options.count] = place;
          options.layers[options.count] = k;
          options.costs[options.count++] = perMs * (k * (again ? againMs : layerMs) + head);
        }
      }
    }
  }

  /** Parts of sites with stages of replicas: only between two of these may a hop be as fast as several uplinks. */
  private widenAll(limit: number): void {
    const { width, widest } = this;
    widest.costs.fill(Infinity);
    for (const [site, members] of this.sites.entries()) {
      if (members.length === 1) continue;
      const { costs } = this.widen(site, limit);
      const cheapest = this.cheapest(site);
      if (cheapest === undefined) continue;
      const least = this.priceOf(cheapest);
      for (let at = 0; at < 2 * width; at++) {
        const cost = Math.max(costs[at]!, least);
        if (cost < widest.costs[at]!) [widest.costs[at], widest.from[at]] = [cost, site];
      }
    }
    chain(widest, this.chained, width);
  }

  /** The fewest of a site whose uplinks side by side are fast enough, by price; undefined: there are none. */
  private cheapest(site: number): readonly number[] | undefined {
    return (this.sides[site] ??= { members: this.cheapestSide(site) }).members;
  }

  private cheapestSide(site: number): readonly number[] | undefined {
    const more = this.sideBySideMs[site]!.findIndex((ms) => ms + this.fastestSideMs <= this.nextMs);
    if (more < 0) return undefined;
    return [...this.sites[site]!].sort((a, b) => this.prices[a]! - this.prices[b]! || a - b).slice(0, more + 2);
  }

  /** Parts of two sites or more, with hops between replicas alone, each stage of which would be as fast with one of them: the others are for their uplinks. */
  private weighSites(limit: number, found: (members: readonly number[], cost: number) => void): void {
    const { width, linked, links } = this;
    const { layers, microbatch } = this.relays;
    const hop = (2 * microbatch * this.fastestSideMs) / this.periodMs;
    linked.costs.fill(Infinity);
    const more = this.sites.map((members, site) => {
      const beside = members.length === 1 ? undefined : this.cheapest(site)?.slice(1);
      return beside === undefined ? Infinity : this.priceOf(beside);
    });
    const cheapestMore = Math.min(...more);
    const least = this.least[layers]! + hop + cheapestMore;
    if (least + cheapestMore >= limit) return;
    for (const [site, beside] of more.entries()) {
      // Beside another.
      if (least + beside >= limit) continue;
      const part = this.part(site, limit);
      for (let at = 0; at < 2 * width; at++) {
        const cost = part.cost(0, at < width ? 0 : 1, at % width) + beside;
        if (cost < linked.costs[at]!) [linked.costs[at], linked.from[at]] = [cost, site];
      }
    }
    chain(linked, links, width);
    let [cheapest, best] = [limit, -1];
    const all = width + layers;
    for (let part = 0; part < 2 * width; part++) {
      const rest = all - part;
      if (rest < 0 || (part < width && rest < width) || (part >= width && rest >= width)) continue;
      const cost = linked.costs[part]! + links.costs[rest]! + hop;
      if (cost < cheapest) [cheapest, best] = [cost, part];
    }
    if (best < 0) return;
    const members: number[] = [];
    const take = (part: number) => {
      const site = linked.from[part]!;
      members.push(...this.cheapest(site)!.slice(1));
      this.parts[site]!.forEach(0, part < width ? 0 : 1, part % width, (device) => members.push(device));
    };
    take(best);
    let rest = all - best;
    for (; links.from[rest]! !== NONE; rest -= links.from[rest]!) take(links.from[rest]!);
    take(rest);
    found([...new Set(members)], cheapest);
  }

  private takenByWidest(part: number): readonly number[] {
    const site = this.widest.from[part]!;
    return [...this.cheapest(site)!, ...this.takenInSite(site, part)];
  }

  private takenByChained(whole: number): readonly number[] {
    const part = this.chained.from[whole]!;
    if (part === NONE) return this.takenByWidest(whole);
    return [...this.takenByWidest(part), ...this.takenByChained(whole - part)];
  }

  private widen(site: number, limit: number): Table {
    const { microbatch, layers, steps, times, wideMs } = this.relays;
    const { width, periodMs } = this;
    const members = this.sites[site]!;
    const wide = (this.wides[site] ??= emptyTable(width));
    wide.costs.fill(Infinity);
    const cover = (this.covers[site] ??= new Cover(members.length, layers * UNITS));
    cover.begin();
    let fastestMs = Infinity;
    for (const device of members) {
      const { layerMs, held } = times[device]!;
      const share = this.shareOf(layerMs, held);
      if (share <= 0 || this.prices[device]! >= limit) continue;
      fastestMs = Math.min(fastestMs, layerMs);
      cover.insert(device, this.prices[device]!, share, limit);
    }
    cover.settle();
    if (cover.cost(0) >= limit) return wide;
    const others = this.part(site, limit);
    const keep = (last: number, at: number, place: number, k: number, before: number, source: number, stage: number) => {
      const to = (last | place) * width + at + k;
      const cost = before + stage;
      if (cost >= limit || cost >= wide.costs[to]!) return false;
      wide.costs[to] = cost;
      wide.from[to] = (source * 2 + place) * width + k;
      return true;
    };
    for (let place = 0; place < 2; place++) {
      for (let k = 1 - place; k <= layers; k++) {
        const stage = cover.cost(k * UNITS) + (microbatch * k * fastestMs + (wideMs[site]![place]![k]! * k) / (layers * steps)) / periodMs;
        if (stage >= limit) continue;
        for (let last = 0; last + place < 2; last++)
          for (let at = 0; at + k <= layers; at++) keep(last, at, place, k, others.cost(0, last, at), 0, stage);
      }
    }
    for (let k = 1; k <= layers; k++) {
      const stage = cover.cost(k * UNITS) + (microbatch * k * fastestMs + (wideMs[site]![INNER]![k]! * k) / (layers * steps)) / periodMs;
      if (stage >= limit) continue;
      for (let last = 0; last < 2; last++)
        for (let at = 0; at + k <= layers; at++) keep(last, at, INNER, k, wide.costs[last * width + at]!, 1, stage);
    }
    return wide;
  }

  /** A part with replicas, and any such of other sites behind it, where this device is at a hop: it, and another of its site. */
  private wideOf(gate: number, hop: number, limit: number): Options {
    const { width, prices } = this;
    const into = this.scratch;
    into.count = 0;
    const least = prices[gate]! + prices[this.besides(gate)]!;
    if (least + hop >= limit) return into;
    const { costs } = this.joined(this.siteOf[gate]!);
    for (let whole = 0; whole < 2 * width; whole++) {
      const cost = Math.max(least, costs[whole]!) + hop;
      if (cost >= limit) continue;
      into.places[into.count] = whole < width ? INNER : LAST;
      into.layers[into.count] = whole % width;
      into.costs[into.count++] = cost;
    }
    return into;
  }

  /** The cheapest of its site beside it. */
  private besides(gate: number): number {
    return this.sites[this.siteOf[gate]!]!.reduce(
      (best, device) => (device !== gate && (best === gate || this.prices[device]! < this.prices[best]!) ? device : best),
      gate,
    );
  }

  /** A site's parts with replicas, and any such of other sites behind them: costs, and which part is the site's own. */
  private joined(site: number): Table {
    const known = this.joints[site];
    if (known !== undefined) return known;
    const { width, chained } = this;
    const { costs } = this.wides[site]!;
    const joint = (this.joints[site] = emptyTable(width));
    for (let whole = 0; whole < 2 * width; whole++) {
      const [last, layers] = [whole < width ? 0 : 1, whole % width];
      let [cost, part] = [costs[whole]!, whole];
      for (let place = 0; place <= last; place++) {
        for (let k = 0; k <= layers; k++) {
          const own = place * width + k;
          const sum = costs[own]! + chained.costs[whole - own]!;
          if (sum < cost) [cost, part] = [sum, own];
        }
      }
      joint.costs[whole] = cost;
      joint.from[whole] = part;
    }
    return joint;
  }

  private takenByWide(gate: number, place: number, layers: number): readonly number[] {
    const site = this.siteOf[gate]!;
    const whole = place * this.width + layers;
    const part = this.joined(site).from[whole]!;
    return [gate, this.besides(gate), ...this.takenInSite(site, part), ...(part === whole ? [] : this.takenByChained(whole - part))];
  }

  private takenInSite(site: number, part: number): readonly number[] {
    const { width } = this;
    const members: number[] = [];
    const [wide, cover] = [this.wides[site]!, this.covers[site]!];
    for (let at = part; wide.costs[at]! < Infinity;) {
      const from = wide.from[at]!;
      const [k, place] = [from % width, Math.floor(from / width) % 2];
      members.push(...cover.members(k * UNITS));
      at -= place * width + k;
      if (from >= 2 * width) continue;
      this.parts[site]!.forEach(0, at < width ? 0 : 1, at % width, (device) => members.push(device));
      break;
    }
    return members;
  }
}

/** Of so many of these uplinks from two on, the fastest: what a sample takes them side by side, for as few or more. */
function sideBySide(uplinks: readonly number[]): readonly number[] {
  let least = Infinity;
  return [...uplinks].sort((a, b) => a - b).flatMap((ms, i) => (i === 0 ? [] : (least = Math.min(least, ms / (i + 1)))));
}

/** Any number of parts, one after another: the least costs, and of which part beside the rest; NONE: a part alone. */
function chain(parts: Table, chained: Table, width: number): void {
  chained.costs.set(parts.costs);
  chained.from.fill(NONE);
  for (let layers = 0; layers < width; layers++) {
    for (let last = 0; last < 2; last++) {
      const whole = last * width + layers;
      for (let place = 0; place <= last; place++) {
        for (let k = 0; k <= layers; k++) {
          const part = place * width + k;
          const cost = parts.costs[part]! + chained.costs[whole - part]!;
          if (cost >= chained.costs[whole]!) continue;
          chained.costs[whole] = cost;
          chained.from[whole] = part;
        }
      }
    }
  }
}

interface Table {
  readonly costs: Float64Array;
  readonly from: Int32Array;
}

function emptyTable(width: number): Table {
  return { costs: new Float64Array(2 * width), from: new Int32Array(2 * width) };
}
