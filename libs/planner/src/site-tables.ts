import type { Options } from './knapsacks.js';
import { Cover, emptyOptions, MATCHED, NOBODY, Reached } from './knapsacks.js';
import { INNER, LAST } from './layers.js';
import type { PricedRelays, RelayedOptions } from './relayed-options.js';
import { UNITS } from './relayed-options.js';

/** Of a part that is alone. */
const NONE = -1;

/**
 * What devices that reach each other directly do between them of a pipeline through the server, at one period: by whether the last block is done, and
 * layers, the least cost. A part is one of a site with a device at a hop, its gate; it may have stages with replicas, and is then known by −1 less its gate.
 */
export class SiteTables {
  readonly siteOf: Int32Array;
  private readonly width: number;
  private readonly sites: readonly (readonly number[])[];
  /** [site][replicas − 2]: the least that a sample takes so many uplinks, side by side; and of all sites. */
  private readonly sideBySideMs: readonly (readonly number[])[];
  readonly fastestSideMs: number;
  /** The least that a sample takes any uplink. */
  private readonly fastestMs: number;
  /** By site, at the period at hand. */
  private readonly parts: (Reached | undefined)[];
  private readonly sides: ({ readonly members: readonly number[] | undefined } | undefined)[];
  private readonly joints: (Table | undefined)[];
  private readonly cheapestTwo: (readonly number[] | undefined)[];
  private readonly tables: Reached[] = [];
  private readonly covers: Cover[] = [];
  private readonly wides: Table[] = [];
  private readonly widest: Table;
  private readonly chained: Table;
  private readonly linked: Table;
  private readonly links: Table;
  private isWidened = false;
  private limit = 0;
  private readonly whole: Float64Array;
  private readonly parted: Options;
  private partedOf = NONE;
  private readonly widened: Options;
  /** Of a part with replicas: whether it is with such of other sites. */
  private readonly isJoined: Uint8Array;

  constructor(
    private readonly relays: PricedRelays,
    private readonly options: RelayedOptions,
    private readonly prices: Float64Array,
    /** By layers: what costs as much is of no use. */
    private readonly limits: Float64Array,
  ) {
    const { times, layers, uplinkMs, sites } = relays;
    this.width = layers + 1;
    this.sites = sites;
    this.siteOf = new Int32Array(times.length);
    for (const [site, members] of sites.entries()) for (const device of members) this.siteOf[device] = site;
    this.sideBySideMs = sites.map((members) => (members.length === 1 ? [] : sideBySide(members.map((device) => uplinkMs[device]!))));
    this.fastestSideMs = Math.min(...this.sideBySideMs.flat());
    this.fastestMs = uplinkMs.reduce((least, ms) => Math.min(least, ms), Infinity);
    this.parts = sites.map(() => undefined);
    this.sides = sites.map(() => undefined);
    this.joints = sites.map(() => undefined);
    this.cheapestTwo = sites.map(() => undefined);
    this.widest = emptyTable(this.width);
    this.chained = emptyTable(this.width);
    this.linked = emptyTable(this.width);
    this.links = emptyTable(this.width);
    this.whole = new Float64Array(2 * this.width);
    this.parted = emptyOptions(this.width);
    this.widened = emptyOptions(this.width);
    this.isJoined = new Uint8Array(2 * this.width);
  }

  /** At the period that `options` are for, and the prices as they are. */
  begin(limit: number): void {
    this.limit = limit;
    this.parts.fill(undefined);
    this.sides.fill(undefined);
    this.joints.fill(undefined);
    this.cheapestTwo.fill(undefined);
    this.isWidened = false;
    this.partedOf = NONE;
  }

  isLone(device: number): boolean {
    return this.sites[this.siteOf[device]!]!.length === 1;
  }

  private priceOf(members: readonly number[]): number {
    return members.reduce((sum, device) => sum + this.prices[device]!, 0);
  }

  /** What devices of a site do between them: with none at a hop, or with one where both ends of the pipeline are there. */
  private part(site: number): Reached {
    const known = this.parts[site];
    if (known !== undefined) return known;
    const { options, prices } = this;
    const { endsMeet } = this.relays;
    const of = (this.tables[site] ??= new Reached(this.sites[site]!.length, endsMeet ? 2 : 1, this.limits));
    of.begin();
    for (const device of this.sites[site]!) {
      const once = prices[device]!;
      if (once >= this.limit) continue;
      of.offer(options.priced(device, once), NOBODY);
      if (endsMeet && this.mayBeAtHop(device)) of.offer(options.pricedAtEnd(device, once + options.hopCost(device)), MATCHED);
      of.take(device);
    }
    return (this.parts[site] = of);
  }

  private mayBeAtHop(device: number): boolean {
    return this.relays.uplinkMs[device]! + this.fastestMs <= this.options.nextMs;
  }

  /** Of a device at a hop with any others of its site: good until another's. */
  partOf(gate: number, once: number): Options {
    const { width, whole, parted: into } = this;
    if (this.partedOf === gate) return into;
    this.partedOf = gate;
    const others = this.part(this.siteOf[gate]!);
    const own = this.ownOf(gate, once);
    whole.fill(Infinity);
    for (let o = 0; o < own.count; o++) {
      const place = own.places[o]!;
      const k = own.layers[o]!;
      for (let last = 0; last + place < 2; last++) {
        const to = (last | place) * width + k;
        const cost = own.costs[o]! + this.otherHop(gate, last | place);
        const beside = this.gatesBeside(last | place);
        for (let at = 0; at + k < width; at++) {
          const sum = cost + others.cost(beside, last, at);
          if (sum < whole[to + at]!) whole[to + at] = sum;
        }
      }
    }
    listBelow(whole, this.limit, 0, 0, width, into);
    return into;
  }

  private ownOf(gate: number, once: number): Options {
    return this.relays.endsMeet ? this.options.pricedAtEnd(gate, once) : this.options.priced(gate, once);
  }

  /** Whether a part with the last block, or without, has another device at a hop. */
  private gatesBeside(last: number): number {
    return last === LAST && this.relays.endsMeet ? MATCHED : NOBODY;
  }

  /** … or who may be the same one. */
  private otherHop(gate: number, last: number): number {
    return last === INNER ? this.options.otherHopCost(gate) : 0;
  }

  /** Who does so many layers for a device, or a part. */
  takenBy(gate: number, place: number, layers: number): readonly number[] {
    if (gate < 0) return this.takenByWide(-1 - gate, place, layers);
    if (this.isLone(gate)) return [gate];
    const others = this.part(this.siteOf[gate]!);
    const own = this.ownOf(gate, 0);
    const beside = this.gatesBeside(place);
    let [least, last, left] = [Infinity, 0, 0];
    for (let o = 0; o < own.count; o++) {
      if (own.places[o]! > place || own.layers[o]! > layers) continue;
      const cost = own.costs[o]! + others.cost(beside, place - own.places[o]!, layers - own.layers[o]!);
      if (cost < least) [least, last, left] = [cost, place - own.places[o]!, layers - own.layers[o]!];
    }
    const members = [gate];
    others.forEach(beside, last, left, (device) => members.push(device));
    return members;
  }

  /** Parts of sites with stages of replicas: only between two of these may a hop be as fast as several uplinks. */
  private widenAll(): void {
    if (this.isWidened) return;
    this.isWidened = true;
    const { width, widest } = this;
    widest.costs.fill(Infinity);
    for (const [site, members] of this.sites.entries()) {
      if (members.length === 1) continue;
      const { costs } = this.widen(site);
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
    const more = this.sideBySideMs[site]!.findIndex((ms) => ms + this.fastestSideMs <= this.options.nextMs);
    if (more < 0) return undefined;
    return this.byPrice(site).slice(0, more + 2);
  }

  /**
   * Parts of two sites or more, with hops between replicas alone, each stage of which would be as fast with one of them: the others are for their uplinks.
   * `all`: what all layers cost at least where devices of sites do them.
   */
  weigh(all: number, found: (members: readonly number[], cost: number) => void): void {
    const { width, linked, links, limit } = this;
    const { layers, microbatch } = this.relays;
    const hop = (2 * microbatch * this.fastestSideMs) / this.options.periodMs;
    if (all + hop >= limit) return;
    linked.costs.fill(Infinity);
    const more = this.sites.map((members, site) => {
      const beside = members.length === 1 ? undefined : this.cheapest(site)?.slice(1);
      return beside === undefined ? Infinity : this.priceOf(beside);
    });
    const cheapestMore = Math.min(...more);
    const least = all + hop + cheapestMore;
    if (least + cheapestMore >= limit) return;
    for (const [site, beside] of more.entries()) {
      // Beside another.
      if (least + beside >= limit) continue;
      const part = this.part(site);
      for (let at = 0; at < 2 * width; at++) {
        const cost = part.cost(0, at < width ? 0 : 1, at % width) + beside;
        if (cost < linked.costs[at]!) [linked.costs[at], linked.from[at]] = [cost, site];
      }
    }
    chain(linked, links, width);
    let [cheapest, best] = [limit, -1];
    const end = width + layers;
    for (let part = 0; part < 2 * width; part++) {
      const rest = end - part;
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
    let rest = end - best;
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

  private widen(site: number): Table {
    const { microbatch, layers, steps, times, wideMs } = this.relays;
    const { width, limit } = this;
    const { periodMs } = this.options;
    const members = this.sites[site]!;
    const wide = (this.wides[site] ??= emptyTable(width));
    wide.costs.fill(Infinity);
    const cover = (this.covers[site] ??= new Cover(members.length, layers * UNITS));
    cover.begin();
    let fastestMs = Infinity;
    for (const device of members) {
      const { layerMs } = times[device]!;
      const share = this.options.shareOf(device);
      if (share <= 0 || this.prices[device]! >= limit) continue;
      fastestMs = Math.min(fastestMs, layerMs);
      cover.insert(device, this.prices[device]!, share, limit);
    }
    cover.settle();
    if (cover.cost(0) >= limit) return wide;
    const others = this.part(site);
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

  /**
   * A part with replicas, and any such of other sites behind it, where this device is at a hop: it, and another of its site. With no other site behind it,
   * its other hop is its own too, where it has two. What costs as much as `limit` is left out.
   */
  wideOf(gate: number, hop: number, limit: number): Options {
    const into = this.widened;
    into.count = 0;
    const { prices, width } = this;
    if (prices[gate]! + prices[this.besides(gate)]! + hop >= limit) return into;
    this.weighWide(gate);
    listBelow(this.whole, limit, 0, hop, width, into);
    return into;
  }

  /** Of a device at a hop: parts by themselves, and with such of other sites. */
  private weighWide(gate: number): void {
    const { width, whole, prices } = this;
    const site = this.siteOf[gate]!;
    const joint = this.joined(site).costs;
    const { costs } = this.wides[site]!;
    const least = prices[gate]! + prices[this.besides(gate)]!;
    const otherHop = this.otherHop(gate, INNER);
    const [leastAtEnds, otherHopAtEnds] = this.relays.endsMeet ? this.leastAtHops(gate) : [least, 0];
    for (let at = 0; at < 2 * width; at++) {
      const alone = at < width ? Math.max(costs[at]!, least) + otherHop : Math.max(costs[at]!, leastAtEnds) + otherHopAtEnds;
      this.isJoined[at] = alone <= Math.max(joint[at]!, least) ? 0 : 1;
      whole[at] = this.isJoined[at] === 1 ? Math.max(joint[at]!, least) : alone;
    }
  }

  /** Prices of two at hops, this one and another; and what the other's hop takes. */
  private leastAtHops(gate: number): readonly [price: number, hop: number] {
    let [price, hop] = [Infinity, Infinity];
    for (const other of this.sites[this.siteOf[gate]!]!) {
      if (other === gate || !this.mayBeAtHop(other)) continue;
      price = Math.min(price, this.prices[other]!);
      hop = Math.min(hop, this.options.hopCost(other));
    }
    return [this.prices[gate]! + price, hop];
  }

  /** The cheapest of its site beside it. */
  private besides(gate: number): number {
    const site = this.siteOf[gate]!;
    const two = (this.cheapestTwo[site] ??= this.byPrice(site).slice(0, 2));
    return two[0] === gate ? two[1]! : two[0]!;
  }

  private byPrice(site: number): readonly number[] {
    return [...this.sites[site]!].sort((a, b) => this.prices[a]! - this.prices[b]! || a - b);
  }

  /** A site's parts with replicas with any such of other sites behind them: costs, and which part is the site's own. */
  private joined(site: number): Table {
    const known = this.joints[site];
    if (known !== undefined) return known;
    this.widenAll();
    const { width, chained } = this;
    const { costs } = this.wides[site]!;
    const joint = (this.joints[site] = emptyTable(width));
    for (let whole = 0; whole < 2 * width; whole++) {
      const [last, layers] = [whole < width ? 0 : 1, whole % width];
      let [cost, part] = [Infinity, whole];
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
    const taken = [gate, this.besides(gate)];
    this.weighWide(gate);
    if (this.isJoined[whole] === 0) return [...taken, ...this.takenInSite(site, whole)];
    const part = this.joined(site).from[whole]!;
    return [...taken, ...this.takenInSite(site, part), ...this.takenByChained(whole - part)];
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

/** What costs less than `limit`, each `least` at least and `hop` more. */
function listBelow(costs: Float64Array, limit: number, least: number, hop: number, width: number, into: Options): void {
  into.count = 0;
  for (let at = 0; at < 2 * width; at++) {
    const cost = Math.max(least, costs[at]!) + hop;
    if (cost >= limit) continue;
    into.places[into.count] = at < width ? INNER : LAST;
    into.layers[into.count] = at % width;
    into.costs[into.count++] = cost;
  }
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
