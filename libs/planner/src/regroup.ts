import type { Chain, Chains } from './chain.js';

/** A gain that is smaller is rounding. */
const MORE = 1 + 1e-9;

/**
 * Devices dealt into chains: from the least that hold the model together, by moves from one chain to another, swaps and mergers for
 * as long as two chains gain by it. Where that ends depends on where it begins, so from two beginnings: fast devices beside slow
 * ones, and those of like links together. At most so many chains are weighed from each.
 */
export function regroup(chains: Chains, devices: readonly number[], effort: number): readonly Chain[] {
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

class Regrouping {
  private readonly groups: Group[] = [];
  /** By device: its place by speed. */
  private readonly rank: number[] = [];

  constructor(
    private readonly chains: Chains,
    devices: readonly number[],
    private effort: number,
  ) {
    bySpeed(chains, devices).forEach((device, rank) => (this.rank[device] = rank));
    let open: number[] = [];
    for (const device of devices) {
      open.push(device);
      const group = this.group(open);
      if (group.chain === undefined) continue;
      this.groups.push(group);
      open = [];
    }
    this.groups.push(this.group(open));
  }

  run(): readonly Chain[] {
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

  private improve(a: number, b: number): boolean {
    const [here, there] = [this.groups[a]!, this.groups[b]!];
    const before = (samplesOf(here) + samplesOf(there)) * MORE;
    for (const [mine, theirs] of alternatives(here.devices, there.devices)) {
      const left = this.group(mine, before - this.chains.most(theirs));
      const right = this.group(theirs, before - samplesOf(left));
      if (samplesOf(left) + samplesOf(right) <= before) continue;
      this.groups[a] = left;
      this.groups[b] = right;
      return true;
    }
    return false;
  }

  /** The fastest at the model's end or at its beginning. */
  private group(devices: readonly number[], beyond = 0): Group {
    this.effort--;
    const order = this.bySpeed(devices);
    const first = this.chains.of(order, Math.max(0, beyond));
    const second = this.chains.of(order.reverse(), Math.max(0, beyond, first?.samples ?? 0));
    return { devices, chain: second ?? first };
  }

  /** By insertion: lists are short, and mostly in order. */
  private bySpeed(devices: readonly number[]): number[] {
    const order = devices.slice();
    for (let i = 1; i < order.length; i++) {
      const device = order[i]!;
      let at = i;
      for (; at > 0 && this.rank[order[at - 1]!]! > this.rank[device]!; at--) order[at] = order[at - 1]!;
      order[at] = device;
    }
    return order;
  }
}

/** Two lists with one device moved, two swapped, or all in one. */
function* alternatives(here: readonly number[], there: readonly number[]): Generator<readonly [readonly number[], readonly number[]]> {
  const without = (list: readonly number[], device: number) => list.filter((other) => other !== device);
  for (const device of here) yield [without(here, device), [...there, device]];
  for (const device of there) yield [[...here, device], without(there, device)];
  for (const mine of here)
    for (const theirs of there)
      yield [
        [...without(here, mine), theirs],
        [...without(there, theirs), mine],
      ];
  if (here.length > 1 || there.length > 1) yield [[...here, ...there], []];
}
