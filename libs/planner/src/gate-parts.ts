import type { Options } from './knapsacks.js';
import { emptyOptions, listBelow } from './knapsacks.js';
import { INNER, LAST } from './layers.js';
import type { PricedRelays, RelayedOptions } from './relayed-options.js';
import type { SiteParts } from './site-parts.js';
import type { WideParts } from './wide-parts.js';

/** Of no gate. */
const NONE = -1;

/**
 * Parts of sites with a device at a hop, their gate: one that is a stage by itself, or the last taken up of replicas that are one. Where both ends of a
 * pipeline are in the site there are two gates; the other one was taken up before.
 */
export class GateParts {
  private readonly width: number;
  /** By site: who was taken up, in turn; and by their count, what one of them does with any that are at no hop. */
  private readonly gates: number[][];
  private readonly besides: Float64Array[];
  /** By site, at the period at hand: what those do who are at no hop, with stages of replicas or without. */
  private readonly insides: (Float64Array | undefined)[];
  private limit = NaN;
  private readonly stage: Options;
  private readonly whole: Float64Array;
  private readonly part: Options;
  private partOf = NONE;
  private readonly joined: Options;

  constructor(
    private readonly relays: PricedRelays,
    private readonly options: RelayedOptions,
    private readonly parts: SiteParts,
    private readonly wides: WideParts,
    private readonly prices: Float64Array,
  ) {
    const { sites, layers, endsMeet } = relays;
    this.width = layers + 1;
    this.gates = sites.map(() => []);
    this.besides = sites.map(({ length }) => new Float64Array(endsMeet && length > 1 ? 2 * this.width * length : 0));
    this.insides = sites.map(() => undefined);
    this.stage = emptyOptions(2 * this.width);
    this.whole = new Float64Array(2 * this.width);
    this.part = emptyOptions(this.width);
    this.joined = emptyOptions(this.width);
  }

  /** At the period that `options` are for, and the prices as they are. */
  begin(limit: number): void {
    this.limit = limit;
    this.insides.fill(undefined);
    for (const gates of this.gates) gates.length = 0;
    this.partOf = NONE;
  }

  /** What this gate does with any others of its site. Good until another's. */
  of(gate: number): Options {
    const { whole, width, part } = this;
    if (this.partOf === gate) return part;
    this.partOf = gate;
    const site = this.parts.siteOf[gate]!;
    const inside = this.inside(site);
    const taken = this.gates[site]!.length;
    const stage = this.stageOf(gate, taken);
    whole.fill(Infinity);
    this.add(stage, inside, INNER);
    if (!this.relays.endsMeet) this.add(stage, inside, LAST);
    else {
      const otherHop = this.options.otherHopCost(gate);
      for (let at = 0; at < width; at++) whole[at]! += otherHop;
      if (taken > 0) this.add(stage, this.besidesOf(site, taken), LAST);
    }
    listBelow(whole, this.limit, 0, width, part);
    return part;
  }

  /** … and with parts of other sites behind hops between replicas. Good until the next call. */
  joinedOf(gate: number, limit: number): Options {
    const { whole, width, joined: into } = this;
    into.count = 0;
    const site = this.parts.siteOf[gate]!;
    const hop = this.options.hopCost(gate);
    if (this.prices[gate]! + hop + this.wides.leastJoined(site) >= limit) return into;
    const { costs } = this.wides.joined(site);
    for (let at = 0; at < 2 * width; at++) whole[at] = this.gates[site]!.length === 0 ? Infinity : costs[at]! + hop;
    const alone = this.stageOf(gate, 0);
    this.add(alone, costs, INNER);
    this.add(alone, costs, LAST);
    listBelow(whole, limit, 0, width, into);
    return into;
  }

  /** Takes it up. */
  take(gate: number): void {
    const site = this.parts.siteOf[gate]!;
    const gates = this.gates[site]!;
    if (this.relays.endsMeet) {
      const { whole } = this;
      if (gates.length === 0) whole.fill(Infinity);
      else whole.set(this.besidesOf(site, gates.length));
      const stage = this.stageOf(gate, gates.length);
      const inside = this.inside(site);
      this.add(stage, inside, INNER);
      this.add(stage, inside, LAST);
      this.besidesOf(site, gates.length + 1).set(whole);
    }
    gates.push(gate);
    this.partOf = NONE;
  }

  /** Who does so much with this gate. */
  takenBy(gate: number, place: number, layers: number): readonly number[] {
    const site = this.parts.siteOf[gate]!;
    const before = this.before(gate);
    const inside = this.inside(site);
    const all = place * this.width + layers;
    if (!this.relays.endsMeet || place === INNER) {
      const { members, rest } = this.split(gate, before, all, inside);
      return [...members, ...this.takenInside(site, rest)];
    }
    const besides = this.besidesOf(site, before);
    const own = this.split(gate, before, all, besides);
    let other = before - 1;
    while (other > 0 && this.besidesOf(site, other)[own.rest] === besides[own.rest]) other--;
    const beside = this.split(this.gates[site]![other]!, other, own.rest, inside);
    return [...own.members, ...beside.members, ...this.takenInside(site, beside.rest)];
  }

  takenByJoined(gate: number, place: number, layers: number): readonly number[] {
    const site = this.parts.siteOf[gate]!;
    const { costs } = this.wides.joined(site);
    const all = place * this.width + layers;
    const { members, rest, cost } = this.split(gate, 0, all, costs);
    const isReplica = this.before(gate) > 0 && costs[all]! + this.options.hopCost(gate) < cost;
    return isReplica ? this.wides.takenByJoined(site, all) : [...members, ...this.wides.takenByJoined(site, rest)];
  }

  /** How many of its site were taken up before it. */
  private before(gate: number): number {
    const gates = this.gates[this.parts.siteOf[gate]!]!;
    const at = gates.indexOf(gate);
    return at < 0 ? gates.length : at;
  }

  /** What one of the first so many of a site's gates does with those who are at no hop. */
  private besidesOf(site: number, count: number): Float64Array {
    const size = 2 * this.width;
    return this.besides[site]!.subarray((count - 1) * size, count * size);
  }

  /** The stage that a gate is, with so many before it. Good until the next call. */
  private stageOf(gate: number, before: number): Options {
    const { stage, options } = this;
    const once = this.prices[gate]! + options.hopCost(gate);
    stage.count = 0;
    append(stage, this.relays.endsMeet ? options.pricedAtEnd(gate, once) : options.priced(gate, once));
    if (before > 0) append(stage, this.wides.gateOf(this.parts.siteOf[gate]!));
    return stage;
  }

  /** To `whole`, what a stage does with others, with the last block or without. */
  private add({ count, places, layers, costs }: Options, others: Float64Array, last: number): void {
    const { whole, width } = this;
    for (let o = 0; o < count; o++) {
      const place = places[o]!;
      if (place > last) continue;
      const cost = costs[o]!;
      const from = (last - place) * width;
      const to = last * width + layers[o]!;
      for (let at = 0; to + at < (last + 1) * width; at++) {
        const sum = cost + others[from + at]!;
        if (sum < whole[to + at]!) whole[to + at] = sum;
      }
    }
  }

  /** Of so much, who are the stage of a gate with so many before it, and what is left for others. */
  private split(gate: number, before: number, all: number, others: Float64Array): { members: readonly number[]; rest: number; cost: number } {
    const { width } = this;
    const alone = this.stageOf(gate, 0).count;
    const { count, places, layers, costs } = this.stageOf(gate, before);
    let [cost, rest, chosen] = [Infinity, all, 0];
    for (let o = 0; o < count; o++) {
      const left = all - places[o]! * width - layers[o]!;
      if (places[o]! > Math.floor(all / width) || layers[o]! > all % width || costs[o]! + others[left]! >= cost) continue;
      [cost, rest, chosen] = [costs[o]! + others[left]!, left, o];
    }
    return { members: chosen < alone ? [gate] : this.wides.takenByGate(this.parts.siteOf[gate]!, layers[chosen]!), rest, cost };
  }

  private inside(site: number): Float64Array {
    const known = this.insides[site];
    if (known !== undefined) return known;
    const alone = this.parts.costsOf(site);
    return (this.insides[site] = this.wides.of(site).costs.map((cost, at) => Math.min(cost, alone[at]!)));
  }

  private takenInside(site: number, at: number): readonly number[] {
    const isWide = this.wides.of(site).costs[at]! < this.parts.costsOf(site)[at]!;
    return isWide ? this.wides.takenBy(site, at) : this.parts.takenBy(site, Math.floor(at / this.width), at % this.width);
  }
}

function append(to: Options, { count, places, layers, costs }: Options): void {
  for (let o = 0; o < count; o++) {
    to.places[to.count] = places[o]!;
    to.layers[to.count] = layers[o]!;
    to.costs[to.count++] = costs[o]!;
  }
}
