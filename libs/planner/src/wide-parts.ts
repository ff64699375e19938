import type { Options } from './knapsacks.js';
import { Cover, emptyOptions, listBelow } from './knapsacks.js';
import { INNER } from './layers.js';
import type { PricedRelays, RelayedOptions } from './relayed-options.js';
import { UNITS } from './relayed-options.js';
import type { SiteParts } from './site-parts.js';

/** Of a part that is alone. */
const NONE = -1;

/** Parts of sites with stages of replicas, and what follows from hops that only these have: such as are as fast as several uplinks side by side. */
export class WideParts {
  private readonly width: number;
  private readonly sites: readonly (readonly number[])[];
  /** [site][replicas − 2]: the least that a sample takes so many uplinks, side by side; and of all sites. */
  private readonly sideBySideMs: readonly (readonly number[])[];
  readonly fastestSideMs: number;
  /** By site, at the period at hand. */
  private readonly sides: ({ readonly members: readonly number[] | undefined } | undefined)[];
  private readonly joints: (Table | undefined)[];
  private readonly cheapestTwo: (readonly number[] | undefined)[];
  private readonly covers: Cover[] = [];
  private readonly wides: Table[] = [];
  private readonly widest: Table;
  private readonly chained: Table;
  private readonly linked: Table;
  private readonly links: Table;
  private isWidened = false;
  private limit = NaN;
  private readonly whole: Float64Array;
  private readonly widened: Options;
  /** Of a part with replicas: whether it is with such of other sites. */
  private readonly isJoined: Uint8Array;

  constructor(
    private readonly relays: PricedRelays,
    private readonly options: RelayedOptions,
    private readonly parts: SiteParts,
    private readonly prices: Float64Array,
  ) {
    const { layers, uplinkMs, sites } = relays;
    this.width = layers + 1;
    this.sites = sites;
    this.sideBySideMs = sites.map((members) => (members.length === 1 ? [] : sideBySide(members.map((device) => uplinkMs[device]!))));
    this.fastestSideMs = Math.min(...this.sideBySideMs.flat());
    this.sides = sites.map(() => undefined);
    this.joints = sites.map(() => undefined);
    this.cheapestTwo = sites.map(() => undefined);
    this.widest = emptyTable(this.width);
    this.chained = emptyTable(this.width);
    this.linked = emptyTable(this.width);
    this.links = emptyTable(this.width);
    this.whole = new Float64Array(2 * this.width);
    this.widened = emptyOptions(this.width);
    this.isJoined = new Uint8Array(2 * this.width);
  }

  /** At the period that `options` are for, and the prices as they are. */
  begin(limit: number): void {
    this.limit = limit;
    this.sides.fill(undefined);
    this.joints.fill(undefined);
    this.cheapestTwo.fill(undefined);
    this.isWidened = false;
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
      const part = this.parts.part(site);
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
      this.parts.part(site).forEach(0, part < width ? 0 : 1, part % width, (device) => members.push(device));
    };
    take(best);
    let rest = end - best;
    for (; links.from[rest]! !== NONE; rest -= links.from[rest]!) take(links.from[rest]!);
    take(rest);
    found([...new Set(members)], cheapest);
  }

  /**
   * A part with replicas, and any such of other sites behind it, where this device is at a hop: it, and another of its site. With no other site behind it,
   * its other hop is its own too, where it has two. What costs as much as `limit` is left out.
   */
  of(gate: number, hop: number, limit: number): Options {
    const into = this.widened;
    into.count = 0;
    const { prices, width } = this;
    if (prices[gate]! + prices[this.besides(gate)]! + hop >= limit) return into;
    this.weighWide(gate);
    listBelow(this.whole, limit, hop, width, into);
    return into;
  }

  takenBy(gate: number, place: number, layers: number): readonly number[] {
    const site = this.parts.siteOf[gate]!;
    const whole = place * this.width + layers;
    const taken = [gate, this.besides(gate)];
    this.weighWide(gate);
    if (this.isJoined[whole] === 0) return [...taken, ...this.takenInSite(site, whole)];
    const part = this.joined(site).from[whole]!;
    return [...taken, ...this.takenInSite(site, part), ...this.takenByChained(whole - part)];
  }

  /** Of a device at a hop: parts by themselves, and with such of other sites. */
  private weighWide(gate: number): void {
    const { width, whole, prices } = this;
    const site = this.parts.siteOf[gate]!;
    const joint = this.joined(site).costs;
    const { costs } = this.wides[site]!;
    const least = prices[gate]! + prices[this.besides(gate)]!;
    const otherHop = this.parts.otherHop(gate, INNER);
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
    for (const other of this.sites[this.parts.siteOf[gate]!]!) {
      if (other === gate || !this.parts.mayBeAtHop(other)) continue;
      price = Math.min(price, this.prices[other]!);
      hop = Math.min(hop, this.options.hopCost(other));
    }
    return [this.prices[gate]! + price, hop];
  }

  /** The cheapest of its site beside it. */
  private besides(gate: number): number {
    const site = this.parts.siteOf[gate]!;
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

  private widen(site: number): Table {
    const { microbatch, layers, steps, times, wideMs } = this.relays;
    const { width, limit } = this;
    const { periodMs } = this.options;
    const members = this.sites[site]!;
    const wide = (this.wides[site] ??= emptyTable(width));
    wide.costs.fill(Infinity);
    const cover = (this.covers[site] ??= new Cover(members.length, layers * UNITS));
    cover.begin(limit);
    let fastestMs = Infinity;
    for (const device of members) {
      const { layerMs } = times[device]!;
      const share = this.options.shareOf(device);
      if (share <= 0 || this.prices[device]! >= limit) continue;
      fastestMs = Math.min(fastestMs, layerMs);
      cover.insert(device, this.prices[device]!, share);
    }
    cover.settle();
    if (cover.cost(0) >= limit) return wide;
    const others = this.parts.part(site);
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

  /** The fewest of a site whose uplinks side by side are fast enough, by price; undefined: there are none. */
  private cheapest(site: number): readonly number[] | undefined {
    return (this.sides[site] ??= { members: this.cheapestSide(site) }).members;
  }

  private cheapestSide(site: number): readonly number[] | undefined {
    const more = this.sideBySideMs[site]!.findIndex((ms) => ms + this.fastestSideMs <= this.options.nextMs);
    if (more < 0) return undefined;
    return this.byPrice(site).slice(0, more + 2);
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
      this.parts.part(site).forEach(0, at < width ? 0 : 1, at % width, (device) => members.push(device));
      break;
    }
    return members;
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

  private priceOf(members: readonly number[]): number {
    return members.reduce((sum, device) => sum + this.prices[device]!, 0);
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
