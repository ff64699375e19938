import type { BlockRange } from '@longtail/core';
import type { CostModel } from './cost-model.js';
import type { StageDraft } from './group-draft.js';
import type { Range } from './recompute-choices.js';

/** Less is rounding. */
const MORE = 1 + 1e-9;

/** How devices are dealt to stages. */
export interface Dealing {
  /** Those alike together, else evenly. */
  readonly alike: boolean;
  /** A device that is moved to others takes at most so many times as long as the slowest of them: a microbatch waits for it. */
  readonly slower: number;
}

/**
 * A long row of devices behind one model: each of the ranges with as many replicas as it takes. Devices are dealt out, then
 * moved and swapped for as long as that makes the poorest stage richer (without swaps the worst case found was 0.76 of the
 * optimum). Undefined where no such pool fits.
 */
export function poolOf(
  model: CostModel,
  devices: readonly number[],
  ranges: readonly Range[],
  microbatch: number,
  { alike, slower }: Dealing,
): readonly StageDraft[] | undefined {
  const pool = new Pool(model, devices, ranges, microbatch, slower);
  if (alike) pool.fillAlike();
  else pool.fillEvenly();
  pool.improve();
  return pool.layout();
}

/** For each count of stages up to `most`: ranges whose largest work is least (linear partition), and even otherwise, each of which some device can hold. */
export function balancedRanges(
  model: CostModel,
  devices: readonly number[],
  most: number,
  microbatch: number,
): readonly (readonly BlockRange[])[] {
  const { costs, cluster } = model;
  const roomiest = devices.reduce((best, next) => (cluster.devices[next]!.memoryBytes > cluster.devices[best]!.memoryBytes ? next : best));
  const cuts = Array.from({ length: costs.blocks + 1 }, (_, at) => at).filter((at) => costs.canCut(at));
  const reference = cluster.devices[devices[0]!]!;
  const last = cuts.length - 1;
  const works = cuts.map((start) =>
    cuts.map((end) => {
      if (end <= start) return 0;
      const { forwardMs, backwardMs } = costs.passMs(reference, start, end, microbatch, false);
      return forwardMs + backwardMs;
    }),
  );
  // [k][i]: of k + 1 stages from cut i to the end, the largest work, the sum of squares, and the cut that ends the first of them.
  const best: number[][] = [];
  const squares: number[][] = [];
  const next: number[][] = [];
  for (let k = 0; k < most; k++) {
    best.push(cuts.map(() => Infinity));
    squares.push(cuts.map(() => Infinity));
    next.push(cuts.map(() => last));
    for (let i = 0; i < last - k; i++) {
      for (let j = k === 0 ? last : i + 1; j <= last - k; j++) {
        const behind = k === 0 ? 0 : best[k - 1]![j]!;
        if (behind > best[k]![i]!) continue;
        const work = works[i]![j]!;
        const worst = Math.max(behind, work);
        const square = (k === 0 ? 0 : squares[k - 1]![j]!) + work ** 2;
        if (worst > best[k]![i]! || (worst === best[k]![i]! && square >= squares[k]![i]!)) continue;
        if (model.memory.recomputeFor(roomiest, cuts[i]!, cuts[j]!, microbatch, k + 1) === undefined) continue;
        best[k]![i] = worst;
        squares[k]![i] = square;
        next[k]![i] = j;
      }
    }
  }
  return best.flatMap((worsts, stages) => {
    if (worsts[0] === Infinity) return [];
    const ranges: BlockRange[] = [];
    for (let k = stages, i = 0; k >= 0; k--) {
      const j = next[k]![i]!;
      ranges.push({ start: cuts[i]!, end: cuts[j]! });
      i = j;
    }
    return [ranges];
  });
}

/** Devices of the same speed and memory. A rate is in microbatches a millisecond. */
interface Kind {
  readonly devices: readonly number[];
  /** By stage; 0 where it does not fit. */
  readonly rates: readonly number[];
  /** Of all stages one after another. */
  readonly wholeRate: number;
}

/** Devices dealt over stages; a stage's wealth is its rate. */
class Pool {
  private readonly kinds: readonly Kind[];
  /** [stage][kind]: devices. */
  private readonly members: readonly (readonly number[][])[];
  private readonly wealth: number[];

  constructor(
    model: CostModel,
    devices: readonly number[],
    private readonly ranges: readonly Range[],
    microbatch: number,
    private readonly slower: number,
  ) {
    const kinds = model.kinds.among(devices);
    const needs = kinds.map(([device]) =>
      ranges.map(({ start, end }, s) => model.memory.recomputeFor(device!, start, end, microbatch, ranges.length - s)),
    );
    this.kinds = kinds.map((members, k) => {
      const periods = ranges.map(({ start, end, recompute }) => {
        const { forwardMs, backwardMs } = model.costs.passMs(model.cluster.devices[members[0]!]!, start, end, microbatch, recompute);
        return Math.max(1e-9, forwardMs + backwardMs);
      });
      const fits = needs[k]!.map((need, s) => need !== undefined && (!need || ranges[s]!.recompute));
      return {
        devices: members,
        rates: periods.map((periodMs, s) => (fits[s] ? 1 / periodMs : 0)),
        wholeRate: 1 / periods.reduce((sum, periodMs) => sum + periodMs, 0),
      };
    });
    this.members = ranges.map(() => kinds.map(() => []));
    this.wealth = ranges.map(() => 0);
  }

  /** Each device to the stage that is poorest. Those that fit few stages choose first: what they take is left over by the others. */
  fillEvenly(): void {
    const strength = ({ rates }: Kind) => Math.max(...rates);
    const choices = ({ rates }: Kind) => rates.filter((rate) => rate > 0).length;
    this.deal(
      (a, b) => choices(a) - choices(b) || strength(b) - strength(a),
      ({ rates }) => rates.reduce((poorest, rate, s) => (rate > 0 && !(this.wealth[s]! >= this.wealth[poorest]!) ? s : poorest), -1),
    );
  }

  /** The fastest to the first stage until it is rich enough, then the next: a stage as fast as its slowest device fills the pipeline sooner. */
  fillAlike(): void {
    const enough = this.kinds.reduce((sum, { devices, wholeRate }) => sum + devices.length * wholeRate, 0);
    this.deal(
      (a, b) => b.wholeRate - a.wholeRate,
      ({ rates }) => {
        const next = rates.findIndex((rate, s) => rate > 0 && this.wealth[s]! + rate / 2 < enough);
        return next < 0 ? rates.findLastIndex((rate) => rate > 0) : next;
      },
    );
  }

  /** `stageFor`: −1 for none. */
  private deal(order: (a: Kind, b: Kind) => number, stageFor: (kind: Kind) => number): void {
    for (const kind of [...this.kinds].sort((a, b) => order(a, b) || a.devices[0]! - b.devices[0]!)) {
      for (const device of kind.devices) {
        const stage = stageFor(kind);
        if (stage >= 0) this.add(device, this.kinds.indexOf(kind), stage);
      }
    }
  }

  improve(): void {
    const devices = this.kinds.reduce((sum, kind) => sum + kind.devices.length, 0);
    for (let turn = 0; turn < 4 * devices; turn++) {
      const poorest = this.wealth.indexOf(Math.min(...this.wealth));
      if (!this.moveTo(poorest) && !this.swapWith(poorest)) return;
    }
  }

  layout(): readonly StageDraft[] | undefined {
    if (this.members.some((kinds) => kinds.every((members) => members.length === 0))) return undefined;
    return this.ranges.map((range, s) => ({ ...range, devices: this.members[s]!.flat().sort((a, b) => a - b) }));
  }

  /** The move that leaves the poorer of the two stages richest. */
  private moveTo(poorest: number): boolean {
    let best: { kind: number; from: number; floor: number } | undefined;
    for (let from = 0; from < this.members.length; from++) {
      if (from === poorest || this.isAlone(from)) continue;
      for (let kind = 0; kind < this.kinds.length; kind++) {
        const { rates } = this.kinds[kind]!;
        if (this.members[from]![kind]!.length === 0 || !this.admits(poorest, rates[poorest]!)) continue;
        const floor = Math.min(this.wealth[from]! - rates[from]!, this.wealth[poorest]! + rates[poorest]!);
        if (floor > (best?.floor ?? this.wealth[poorest]! * MORE)) best = { kind, from, floor };
      }
    }
    if (best === undefined) return false;
    this.add(this.take(best.kind, best.from), best.kind, poorest);
    return true;
  }

  /** The swap of a weaker device here for a stronger one there that leaves the poorer of the two stages richest. */
  private swapWith(poorest: number): boolean {
    let best: { mine: number; theirs: number; from: number; floor: number } | undefined;
    const here = this.kinds.flatMap((_, kind) => (this.members[poorest]![kind]!.length > 0 ? [kind] : []));
    for (let from = 0; from < this.members.length; from++) {
      if (from === poorest) continue;
      for (let theirs = 0; theirs < this.kinds.length; theirs++) {
        if (this.members[from]![theirs]!.length === 0) continue;
        for (const mine of here) {
          const give = this.kinds[mine]!.rates;
          const take = this.kinds[theirs]!.rates;
          if (!this.admits(from, give[from]!) || !this.admits(poorest, take[poorest]!)) continue;
          const swapped = this.wealth[poorest]! - give[poorest]! + take[poorest]!;
          const floor = Math.min(swapped, this.wealth[from]! - take[from]! + give[from]!);
          if (floor > (best?.floor ?? this.wealth[poorest]! * MORE)) best = { mine, theirs, from, floor };
        }
      }
    }
    if (best === undefined) return false;
    const mine = this.take(best.mine, poorest);
    this.add(this.take(best.theirs, best.from), best.theirs, poorest);
    this.add(mine, best.mine, best.from);
    return true;
  }

  private admits(stage: number, rate: number): boolean {
    if (rate === 0 || this.slower === Infinity) return rate > 0;
    const slowest = this.kinds.reduce(
      (least, { rates }, kind) => (this.members[stage]![kind]!.length > 0 ? Math.min(least, rates[stage]!) : least),
      Infinity,
    );
    return rate * this.slower >= slowest;
  }

  /** Whether a stage has a single device. */
  private isAlone(stage: number): boolean {
    let count = 0;
    for (const members of this.members[stage]!) count += members.length;
    return count === 1;
  }

  private add(device: number, kind: number, stage: number): void {
    this.members[stage]![kind]!.push(device);
    this.wealth[stage]! += this.kinds[kind]!.rates[stage]!;
  }

  private take(kind: number, stage: number): number {
    this.wealth[stage]! -= this.kinds[kind]!.rates[stage]!;
    return this.members[stage]![kind]!.pop()!;
  }
}
