import type { Options } from './knapsacks.js';
import { emptyOptions, listBelow, MATCHED, NOBODY, Reached } from './knapsacks.js';
import { INNER, LAST } from './layers.js';
import type { PricedRelays, RelayedOptions } from './relayed-options.js';

/** Of a part that is alone. */
const NONE = -1;

/**
 * What devices that reach each other directly do between them of a pipeline through the server, at one period: by whether the last block is done, and
 * layers, the least cost. A part is one of a site with a device at a hop, its gate.
 */
export class SiteParts {
  readonly siteOf: Int32Array;
  private readonly width: number;
  private readonly sites: readonly (readonly number[])[];
  /** The least that a sample takes any uplink. */
  private readonly fastestMs: number;
  /** By site, at the period at hand. */
  private readonly parts: (Reached | undefined)[];
  private readonly tables: Reached[] = [];
  private limit = NaN;
  private readonly whole: Float64Array;
  private readonly parted: Options;
  private partedOf = NONE;

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
    this.fastestMs = uplinkMs.reduce((least, ms) => Math.min(least, ms), Infinity);
    this.parts = sites.map(() => undefined);
    this.whole = new Float64Array(2 * this.width);
    this.parted = emptyOptions(this.width);
  }

  /** At the period that `options` are for, and the prices as they are. */
  begin(limit: number): void {
    this.limit = limit;
    this.parts.fill(undefined);
    this.partedOf = NONE;
  }

  isLone(device: number): boolean {
    return this.sites[this.siteOf[device]!]!.length === 1;
  }

  /** What devices of a site do between them: with none at a hop, or with one where both ends of the pipeline are there. */
  part(site: number): Reached {
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

  mayBeAtHop(device: number): boolean {
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
    listBelow(whole, this.limit, 0, width, into);
    return into;
  }

  /** Who does so many layers for a device, with any others of its site. */
  takenBy(gate: number, place: number, layers: number): readonly number[] {
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

  /** … or who may be the same one. */
  otherHop(gate: number, last: number): number {
    return last === INNER ? this.options.otherHopCost(gate) : 0;
  }

  private ownOf(gate: number, once: number): Options {
    return this.relays.endsMeet ? this.options.pricedAtEnd(gate, once) : this.options.priced(gate, once);
  }

  /** Whether a part with the last block, or without, has another device at a hop. */
  private gatesBeside(last: number): number {
    return last === LAST && this.relays.endsMeet ? MATCHED : NOBODY;
  }
}
