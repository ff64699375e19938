import type { Chain, Chains } from './chain.js';
import type { LanPrices } from './lan-prices.js';
import type { Column } from './packing.js';
import { Packing } from './packing.js';

/** A gain that is smaller is rounding. */
const MORE = 1 + 1e-9;

/** Two chains that manage all but this part of what their devices' prices allow have next to nothing to gain. */
const NEXT_TO_NOTHING = 0.01;

/**
 * Devices dealt into chains: moves from one chain to another, swaps and mergers for as long as two chains gain by it. Where that ends depends
 * on where it begins: with prices, from what packs best of the sets of devices that make good chains by them; else from the least that
 * hold the model together, twice, fast devices beside slow ones and those of like links together. At most so many chains are weighed from
 * each.
 */
export function regroup(
  chains: Chains,
  devices: readonly number[],
  effort: number,
  priced?: LanPrices,
): readonly Chain[] {
  if (priced !== undefined && priced.sets.length > 0) return new Regrouping(chains, devices, effort, priced.prices).run(priced.sets);
  const byLink = [...devices].sort((a, b) => chains.msPerValue(a) - chains.msPerValue(b) || a - b);
  const [first, second] = [fastBesideSlow(chains, devices), byLink].map((order) => new Regrouping(chains, order, effort).run());
  const total = (found: readonly Chain[]) => found.reduce((sum, { samples }) => sum + samples, 0);
  return total(second!) > total(first!) ? second! : first!;
}

/** The fastest, the slowest, the second fastest and so on. */
function fastBesideSlow(chains: Chains, devices: readonly number[]): readonly number[] {
  const order = bySpeed(chains, devices);
  return order.map((_, i) => order[i % 2 === 0 ? i / 2 : order.length - (i + 1) / 2]!);
}

function bySpeed(chains: Chains, devices: readonly number[]): readonly number[] {
  return [...devices].sort((a, b) => chains.wholeMs(a) - chains.wholeMs(b) || a - b);
}

interface Group {
  readonly devices: readonly number[];
  readonly chain: Chain | undefined;
}

const samplesOf = ({ chain }: Group) => chain?.samples ?? 0;

/** Devices as they are listed, and by speed. */
interface Orders {
  readonly devices: readonly number[];
  readonly fastFirst: Int32Array;
  readonly slowFirst: Int32Array;
}

class Regrouping {
  private readonly groups: Group[] = [];
  /** By device: its place by speed. */
  private readonly rank: number[] = [];

  constructor(
    private readonly chains: Chains,
    private readonly devices: readonly number[],
    private effort: number,
    /** In rounds as long as those that chains are for: no chain manages more than its devices'. */
    private readonly prices?: ReadonlyMap<number, number>,
  ) {
    bySpeed(chains, devices).forEach((device, rank) => (this.rank[device] = rank));
  }

  run(sets: readonly (readonly number[])[] = []): readonly Chain[] {
    this.begin(this.pack(sets));
    const changedAt = this.groups.map(() => 1);
    const seenAt = new Map<number, number>();
    let now = 1;
    for (let changed = true; changed;) {
      changed = false;
      for (let a = 0; a < this.groups.length; a++) {
        for (let b = a + 1; b < this.groups.length; b++) {
          const pair = a * this.groups.length + b;
          if (Math.max(changedAt[a]!, changedAt[b]!) <= (seenAt.get(pair) ?? 0)) continue;
          while (this.effort > 0 && this.improve(a, b)) {
            changed = true;
            changedAt[a] = changedAt[b] = ++now;
          }
          seenAt.set(pair, now);
        }
      }
    }
    return this.groups.flatMap(({ chain }) => chain ?? []);
  }

  /** With these groups, and of the other devices, in their order, the least that make a chain. */
  private begin(groups: readonly Group[]): void {
    this.groups.push(...groups);
    const taken = new Set(groups.flatMap(({ devices }) => devices));
    let open: number[] = [];
    for (const device of this.devices) {
      if (taken.has(device)) continue;
      open.push(device);
      const group = this.group(this.bySpeed(open));
      if (group.chain === undefined) continue;
      this.groups.push(group);
      open = [];
    }
    this.groups.push(this.group(this.bySpeed(open)));
  }

  /** Of these sets as chains, what a fractional packing takes most of, and does not overlap. */
  private pack(sets: readonly (readonly number[])[]): readonly Group[] {
    const place = new Map(this.devices.map((device, i) => [device, i]));
    const groups = sets.map((set) => this.group(this.bySpeed(set))).filter(({ chain }) => chain !== undefined);
    const alone = Float64Array.from(this.devices, (device) => samplesOf(this.group(this.bySpeed([device]))));
    const packing = new Packing(alone);
    const columns = groups.map((group): Column => ({ members: group.devices.map((device) => place.get(device)!), worth: samplesOf(group) }));
    for (const column of columns) packing.add(column);
    packing.solve();
    const taken = new Set<number>();
    const packed: Group[] = [];
    for (const column of packing.chosen()) {
      if (column.members.some((member) => taken.has(member))) continue;
      for (const member of column.members) taken.add(member);
      packed.push(groups[columns.indexOf(column)]!);
    }
    return packed;
  }

  /** With one device moved, two swapped, or all in one. */
  private improve(a: number, b: number): boolean {
    const [here, there] = [this.groups[a]!.devices, this.groups[b]!.devices];
    const before = (samplesOf(this.groups[a]!) + samplesOf(this.groups[b]!)) * MORE;
    if (this.prices !== undefined && this.priceOf(Int32Array.from(here)) + this.priceOf(Int32Array.from(there)) <= before * (1 + NEXT_TO_NOTHING)) return false;
    for (const device of here) if (this.regroup(a, b, before, without(here, device), there.concat(device))) return true;
    for (const device of there) if (this.regroup(a, b, before, here.concat(device), without(there, device))) return true;
    for (const mine of here)
      for (const theirs of there) if (this.regroup(a, b, before, without(here, mine).concat(theirs), without(there, theirs).concat(mine))) return true;
    return (here.length > 1 || there.length > 1) && this.regroup(a, b, before, here.concat(there), []);
  }

  /** As these two instead, if they manage more than `before` together. */
  private regroup(a: number, b: number, before: number, mine: readonly number[], theirs: readonly number[]): boolean {
    const [here, there] = [this.bySpeed(mine), this.bySpeed(theirs)];
    const most = this.most(there);
    if (!this.mayManage(here, before - most) || !this.mayManage(there, before - this.most(here))) return false;
    const left = this.group(here, before - most);
    if (samplesOf(left) + most <= before) return false;
    const right = this.group(there, before - samplesOf(left));
    if (samplesOf(left) + samplesOf(right) <= before) return false;
    this.groups[a] = left;
    this.groups[b] = right;
    return true;
  }

  private most({ fastFirst }: Orders): number {
    return Math.min(this.chains.most(fastFirst), this.priceOf(fastFirst));
  }

  private priceOf(devices: Int32Array): number {
    const { prices } = this;
    if (prices === undefined) return Infinity;
    let sum = 0;
    for (let i = 0; i < devices.length; i++) sum += prices.get(devices[i]!)!;
    return sum;
  }

  /** Whether some chain of these devices may. */
  private mayManage({ fastFirst, slowFirst }: Orders, samples: number): boolean {
    return samples <= 0 || this.chains.deal(fastFirst, samples) || this.chains.deal(slowFirst, samples);
  }

  /** The fastest at the model's end or at its beginning. */
  private group({ devices, fastFirst, slowFirst }: Orders, beyond = 0): Group {
    this.effort--;
    const first = this.chains.of(fastFirst, Math.max(0, beyond));
    const second = this.chains.of(slowFirst, Math.max(0, beyond, first?.samples ?? 0));
    return { devices, chain: second ?? first };
  }

  /** By insertion: lists are short, and mostly in order. */
  private bySpeed(devices: readonly number[]): Orders {
    const order = Int32Array.from(devices);
    for (let i = 1; i < order.length; i++) {
      const device = order[i]!;
      let at = i;
      for (; at > 0 && this.rank[order[at - 1]!]! > this.rank[device]!; at--) order[at] = order[at - 1]!;
      order[at] = device;
    }
    return { devices, fastFirst: order, slowFirst: order.slice().reverse() };
  }
}

function without(list: readonly number[], device: number): readonly number[] {
  return list.filter((other) => other !== device);
}
