import { NOBODY, Reached } from './knapsacks.js';
import type { PricedRelays, RelayedOptions } from './relayed-options.js';

/**
 * What devices that reach each other directly do between them of a pipeline through the server, one device a stage and none of them at a hop, at one
 * period: by whether the last block is done, and layers, the least cost.
 */
export class SiteParts {
  readonly siteOf: Int32Array;
  /** By site, at the period at hand. */
  private readonly parts: (Reached | undefined)[];
  private readonly tables: Reached[] = [];

  constructor(
    private readonly relays: PricedRelays,
    private readonly options: RelayedOptions,
    private readonly prices: Float64Array,
    /** By layers: what costs as much is of no use. */
    private readonly limits: Float64Array,
  ) {
    const { times, sites } = relays;
    this.siteOf = new Int32Array(times.length);
    for (const [site, members] of sites.entries()) for (const device of members) this.siteOf[device] = site;
    this.parts = sites.map(() => undefined);
  }

  /** At the period that `options` are for, and the prices as they are. */
  begin(): void {
    this.parts.fill(undefined);
  }

  isLone(device: number): boolean {
    return this.relays.sites[this.siteOf[device]!]!.length === 1;
  }

  /** By whether the last block is done, and layers. */
  costsOf(site: number): Float64Array {
    return this.of(site).costsOf(NOBODY);
  }

  takenBy(site: number, last: number, layers: number): readonly number[] {
    const members: number[] = [];
    this.of(site).forEach(NOBODY, last, layers, (device) => members.push(device));
    return members;
  }

  private of(site: number): Reached {
    const known = this.parts[site];
    if (known !== undefined) return known;
    const members = this.relays.sites[site]!;
    const of = (this.tables[site] ??= new Reached(members.length, 1, this.limits));
    of.begin();
    for (const device of members) of.insert(device, this.options.priced(device, this.prices[device]!), NOBODY);
    return (this.parts[site] = of);
  }
}
