import type { Options } from './knapsacks.js';
import { Cover, emptyOptions } from './knapsacks.js';
import { INNER, LAST } from './layers.js';
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
  private readonly covers: Cover[] = [];
  private readonly wides: Table[] = [];
  private readonly widest: Table;
  private readonly chained: Table;
  private readonly linked: Table;
  private readonly links: Table;
  private isWidened = false;
  private limit = NaN;
  /** By site, of replicas at a hop: who, and what they do. */
  private readonly gateCovers: Cover[] = [];
  private readonly gates: Options[] = [];
  private readonly isGate: Uint8Array;
  private readonly isWide: Uint8Array;
  /** By device, of a sample; and the least of all. */
  private readonly uplinkMs: Float64Array;
  private readonly fastestMs: number;

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
    this.widest = emptyTable(this.width);
    this.chained = emptyTable(this.width);
    this.linked = emptyTable(this.width);
    this.links = emptyTable(this.width);
    this.isGate = new Uint8Array(sites.length);
    this.isWide = new Uint8Array(sites.length);
    this.uplinkMs = uplinkMs;
    this.fastestMs = uplinkMs.reduce((least, ms) => Math.min(least, ms), Infinity);
  }

  /** At the period that `options` are for, and the prices as they are. */
  begin(limit: number): void {
    this.limit = limit;
    this.sides.fill(undefined);
    this.joints.fill(undefined);
    this.isGate.fill(0);
    this.isWide.fill(0);
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
    const more = Float64Array.from(this.sites, (members, site) => {
      const beside = members.length === 1 ? undefined : this.cheapest(site)?.slice(1);
      return beside === undefined ? Infinity : this.priceOf(beside);
    });
    const cheapestMore = Math.min(...more);
    const least = all + hop + cheapestMore;
    if (least + cheapestMore >= limit) return;
    for (const [site, beside] of more.entries()) {
      // Beside another.
      if (least + beside >= limit) continue;
      const alone = this.parts.costsOf(site);
      for (let at = 0; at < 2 * width; at++) {
        const cost = alone[at]! + beside;
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
      members.push(...this.parts.takenBy(site, Math.floor(part / width), part % width));
    };
    take(best);
    let rest = end - best;
    for (; links.from[rest]! !== NONE; rest -= links.from[rest]!) take(links.from[rest]!);
    take(rest);
    found(members, cheapest);
  }

  /** With a stage of replicas at least: what devices of a site do at no hop. */
  of(site: number): Table {
    const wide = (this.wides[site] ??= emptyTable(this.width));
    if (this.isWide[site] === 1) return wide;
    this.isWide[site] = 1;
    this.widen(site, wide);
    return wide;
  }

  takenBy(site: number, part: number): readonly number[] {
    const { width } = this;
    const members: number[] = [];
    const [wide, cover] = [this.wides[site]!, this.covers[site]!];
    for (let at = part; wide.costs[at]! < Infinity;) {
      const from = wide.from[at]!;
      const [k, place] = [from % width, Math.floor(from / width) % 2];
      members.push(...cover.members(k * UNITS));
      at -= place * width + k;
      if (from >= 2 * width) continue;
      members.push(...this.parts.takenBy(site, Math.floor(at / width), at % width));
      break;
    }
    return members;
  }

  /** A stage of replicas any of which may be at a hop to one device. */
  gateOf(site: number): Options {
    const gate = (this.gates[site] ??= emptyOptions(this.width));
    if (this.isGate[site] === 1) return gate;
    this.isGate[site] = 1;
    gate.count = 0;
    const members = this.sites[site]!.filter((device) => this.uplinkMs[device]! + this.fastestMs <= this.options.nextMs);
    if (members.length < 2) return gate;
    const cover = (this.gateCovers[site] ??= new Cover(this.sites[site]!.length, this.relays.layers * UNITS));
    const fastestMs = this.coverWith(cover, members);
    if (cover.cost(0) >= this.limit) return gate;
    const hop = Math.min(...members.map((device) => this.options.hopCost(device)));
    for (const place of [INNER, LAST]) {
      for (let k = 1 - place; k < this.width; k++) {
        const cost = hop + this.stageCost(site, cover, fastestMs, place, k);
        if (cost >= this.limit) continue;
        gate.places[gate.count] = place;
        gate.layers[gate.count] = k;
        gate.costs[gate.count++] = cost;
      }
    }
    return gate;
  }

  takenByGate(site: number, layers: number): readonly number[] {
    return this.gateCovers[site]!.members(layers * UNITS);
  }

  /** Of `joined`, no more than the least. */
  leastJoined(site: number): number {
    const own = this.sidePrice(site);
    if (own === Infinity) return Infinity;
    let least = Infinity;
    for (let other = 0; other < this.sites.length; other++) if (this.sites[other]!.length > 1) least = Math.min(least, this.sidePrice(other));
    return own + least;
  }

  /** A site's parts with replicas with any such of other sites behind them: costs, and which part is the site's own. */
  joined(site: number): Table {
    const known = this.joints[site];
    if (known !== undefined) return known;
    this.widenAll();
    const { width, chained } = this;
    const { costs } = this.of(site);
    const side = this.sidePrice(site);
    const joint = (this.joints[site] = emptyTable(width));
    for (let whole = 0; whole < 2 * width; whole++) {
      const [last, layers] = [whole < width ? 0 : 1, whole % width];
      let [cost, part] = [Infinity, whole];
      for (let place = 0; place <= last; place++) {
        for (let k = 0; k <= layers; k++) {
          const own = place * width + k;
          const sum = Math.max(side, costs[own]!) + chained.costs[whole - own]!;
          if (sum < cost) [cost, part] = [sum, own];
        }
      }
      joint.costs[whole] = cost;
      joint.from[whole] = part;
    }
    return joint;
  }

  takenByJoined(site: number, whole: number): readonly number[] {
    const part = this.joined(site).from[whole]!;
    return [...this.takenAtSide(site, part), ...this.takenByChained(whole - part)];
  }

  /** Parts of sites with stages of replicas: only between two of these may a hop be as fast as several uplinks. */
  private widenAll(): void {
    if (this.isWidened) return;
    this.isWidened = true;
    const { width, widest } = this;
    widest.costs.fill(Infinity);
    for (const [site, members] of this.sites.entries()) {
      if (members.length === 1 || this.cheapest(site) === undefined) continue;
      const { costs } = this.of(site);
      const least = this.sidePrice(site);
      for (let at = 0; at < 2 * width; at++) {
        const cost = Math.max(costs[at]!, least);
        if (cost < widest.costs[at]!) [widest.costs[at], widest.from[at]] = [cost, site];
      }
    }
    chain(widest, this.chained, width);
  }

  private widen(site: number, wide: Table): void {
    const { limit } = this;
    const { layers } = this.relays;
    wide.costs.fill(Infinity);
    const members = this.sites[site]!;
    const cover = (this.covers[site] ??= new Cover(members.length, layers * UNITS));
    const fastestMs = this.coverWith(cover, members);
    if (cover.cost(0) >= limit) return;
    const alone = this.parts.costsOf(site);
    for (let place = 0; place < 2; place++) {
      for (let k = 1 - place; k <= layers; k++) this.keepWith(wide, alone, 0, place, k, this.stageCost(site, cover, fastestMs, place, k));
    }
    for (let k = 1; k <= layers; k++) this.keepWith(wide, wide.costs, 1, INNER, k, this.stageCost(site, cover, fastestMs, INNER, k));
  }

  /** What a stage of so many layers does with others: those of a `source`, 0 with no replicas, 1 with some. */
  private keepWith({ costs, from }: Table, others: Float64Array, source: number, place: number, k: number, stage: number): void {
    const { width, limit } = this;
    if (stage >= limit) return;
    for (let last = 0; last + place < 2; last++) {
      const first = last * width;
      const to = (last | place) * width + k;
      for (let at = 0; at + k < width; at++) {
        const cost = stage + others[first + at]!;
        if (cost >= limit || cost >= costs[to + at]!) continue;
        costs[to + at] = cost;
        from[to + at] = (source * 2 + place) * width + k;
      }
    }
  }

  /** Replicas that these may be; returns the time of the fastest one's layer. */
  private coverWith(cover: Cover, members: readonly number[]): number {
    const { prices, options, limit } = this;
    let fastestMs = Infinity;
    cover.begin(limit);
    for (const device of members) {
      const share = options.shareOf(device);
      if (share <= 0 || prices[device]! >= limit) continue;
      fastestMs = Math.min(fastestMs, this.relays.times[device]!.layerMs);
      cover.insert(device, prices[device]!, share);
    }
    cover.settle();
    return fastestMs;
  }

  private stageCost(site: number, cover: Cover, fastestMs: number, place: number, k: number): number {
    const { microbatch, layers, steps, wideMs } = this.relays;
    return cover.cost(k * UNITS) + (microbatch * k * fastestMs + (wideMs[site]![place]![k]! * k) / (layers * steps)) / this.options.periodMs;
  }

  private sidePrice(site: number): number {
    const members = this.cheapest(site);
    return members === undefined ? Infinity : this.priceOf(members);
  }

  /** The fewest of a site whose uplinks side by side are fast enough, by price; undefined: there are none. */
  private cheapest(site: number): readonly number[] | undefined {
    return (this.sides[site] ??= { members: this.cheapestSide(site) }).members;
  }

  private cheapestSide(site: number): readonly number[] | undefined {
    const more = this.sideBySideMs[site]!.findIndex((ms) => ms + this.fastestSideMs <= this.options.nextMs);
    if (more < 0) return undefined;
    return [...this.sites[site]!].sort((a, b) => this.prices[a]! - this.prices[b]! || a - b).slice(0, more + 2);
  }

  /** A part with replicas, or where these cost less, those whose uplinks it needs. */
  private takenAtSide(site: number, part: number): readonly number[] {
    return this.of(site).costs[part]! < this.sidePrice(site) ? this.cheapest(site)! : this.takenBy(site, part);
  }

  private takenByWidest(part: number): readonly number[] {
    return this.takenAtSide(this.widest.from[part]!, part);
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
