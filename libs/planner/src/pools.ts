import type { BlockRange } from '@longtail/core';
import type { CostModel, StageLayout } from './layout.js';

/**
 * A long row of devices behind one model: each of the ranges with as many replicas as it takes. Devices go,
 * strongest first, to the stage that is poorest for its work; then moves and swaps for as long as they make the poorest
 * richer (without swaps the worst case found was 0.76 of the optimum). Undefined where no such pool fits.
 */
export function poolOf(
  model: CostModel,
  devices: readonly number[],
  ranges: readonly BlockRange[],
  microbatch: number,
): readonly StageLayout[] | undefined {
  const pool = new Pool(model, devices, ranges, microbatch);
  pool.fill();
  pool.improve();
  return pool.layout();
}

/** Ranges whose largest work is least (linear partition), each of which some device can hold. */
export function balancedRanges(
  model: CostModel,
  devices: readonly number[],
  stages: number,
  microbatch: number,
): readonly BlockRange[] | undefined {
  const { costs, cluster } = model;
  const roomiest = devices.reduce((best, next) => (cluster.devices[next]!.memoryBytes > cluster.devices[best]!.memoryBytes ? next : best));
  const cuts = Array.from({ length: costs.blocks + 1 }, (_, at) => at).filter((at) => costs.canCut(at));
  const reference = cluster.devices[devices[0]!]!;
  // best[k][i]: the largest work of k stages that end at cut i.
  let best = cuts.map((_, i) => (i === 0 ? 0 : Infinity));
  const from: number[][] = [];
  for (let k = 1; k <= stages; k++) {
    const next = cuts.map(() => Infinity);
    const origin = cuts.map(() => -1);
    for (let i = k; i < cuts.length; i++) {
      for (let j = k - 1; j < i; j++) {
        if (best[j] === Infinity || model.recomputeFor(roomiest, cuts[j]!, cuts[i]!, microbatch, stages - k + 1) === undefined) continue;
        const { forwardMs, backwardMs } = costs.stageMs(reference, cuts[j]!, cuts[i]!, microbatch, false);
        const worst = Math.max(best[j]!, forwardMs + backwardMs);
        if (worst < next[i]!) [next[i], origin[i]] = [worst, j];
      }
    }
    from.push(origin);
    best = next;
  }
  if (best.at(-1) === Infinity) return undefined;
  const ranges: BlockRange[] = [];
  for (let k = stages, i = cuts.length - 1; k > 0; k--) {
    const j = from[k - 1]![i]!;
    ranges.unshift({ start: cuts[j]!, end: cuts[i]! });
    i = j;
  }
  return ranges;
}

/** Devices dealt over stages; a stage's wealth is its rate, in microbatches a millisecond. */
class Pool {
  private readonly members: number[][];
  private readonly wealth: number[];
  /** [device][stage]: rate, 0 where it does not fit. */
  private readonly rates = new Map<number, readonly number[]>();
  private readonly kinds = new Map<number, string>();
  private readonly recompute: boolean[];

  constructor(
    model: CostModel,
    private readonly devices: readonly number[],
    private readonly ranges: readonly BlockRange[],
    microbatch: number,
  ) {
    this.members = ranges.map(() => []);
    this.wealth = ranges.map(() => 0);
    const { recompute } = model.request;
    // One replica that has to recompute would make all do it: a stage does where most of its candidates have to.
    const needs = devices.map((device) =>
      ranges.map(({ start, end }, s) => model.recomputeFor(device, start, end, microbatch, ranges.length - s)),
    );
    this.recompute = ranges.map((_, s) => recompute === 'always' || needs.filter((need) => need[s] === true).length > devices.length / 2);
    devices.forEach((device, d) => {
      this.rates.set(
        device,
        ranges.map(({ start, end }, s) => {
          const need = needs[d]![s];
          if (need === undefined || (need && !this.recompute[s])) return 0;
          return 1 / model.stage([device], start, end, microbatch, this.recompute[s]!).periodMs;
        }),
      );
      this.kinds.set(device, this.rates.get(device)!.join());
    });
  }

  fill(): void {
    const strength = (device: number) => Math.max(...this.rates.get(device)!);
    const choices = (device: number) => this.rates.get(device)!.filter((rate) => rate > 0).length;
    // Those that fit few stages choose first: what they take is left over by the others.
    const order = [...this.devices].sort((a, b) => choices(a) - choices(b) || strength(b) - strength(a) || a - b);
    for (const device of order) {
      const rates = this.rates.get(device)!;
      let poorest = -1;
      rates.forEach((rate, s) => {
        if (rate > 0 && (poorest < 0 || this.wealth[s]! < this.wealth[poorest]!)) poorest = s;
      });
      if (poorest >= 0) this.add(device, poorest);
    }
  }

  improve(): void {
    for (let turn = 0; turn < 4 * this.devices.length; turn++) {
      const poorest = this.wealth.indexOf(Math.min(...this.wealth));
      if (!this.moveTo(poorest) && !this.swapWith(poorest)) return;
    }
  }

  layout(): readonly StageLayout[] | undefined {
    if (this.members.some((members) => members.length === 0)) return undefined;
    return this.ranges.map(({ start, end }, s) => ({
      start,
      end,
      devices: [...this.members[s]!].sort((a, b) => a - b),
      recompute: this.recompute[s]!,
    }));
  }

  /** The move that leaves the poorer of the two stages richest. */
  private moveTo(poorest: number): boolean {
    let best: { device: number; from: number; floor: number } | undefined;
    this.members.forEach((members, from) => {
      if (from === poorest || members.length < 2) return;
      for (const device of members) {
        const rates = this.rates.get(device)!;
        if (rates[poorest] === 0) continue;
        const floor = Math.min(this.wealth[from]! - rates[from]!, this.wealth[poorest]! + rates[poorest]!);
        if (floor > (best?.floor ?? this.wealth[poorest]! * (1 + 1e-9))) best = { device, from, floor };
      }
    });
    if (best === undefined) return false;
    this.remove(best.device, best.from);
    this.add(best.device, poorest);
    return true;
  }

  /** The swap of a weaker device here for a stronger one there that leaves the poorer of the two stages richest. */
  private swapWith(poorest: number): boolean {
    let best: { mine: number; theirs: number; from: number; floor: number } | undefined;
    const here = this.distinct(this.members[poorest]!);
    this.members.forEach((members, from) => {
      if (from === poorest) return;
      const there = this.distinct(members);
      for (const mine of here) {
        for (const theirs of there) {
          const [give, take] = [this.rates.get(mine)!, this.rates.get(theirs)!];
          if (give[from] === 0 || take[poorest] === 0) continue;
          const swapped = this.wealth[poorest]! - give[poorest]! + take[poorest]!;
          const floor = Math.min(swapped, this.wealth[from]! - take[from]! + give[from]!);
          if (floor > (best?.floor ?? this.wealth[poorest]! * (1 + 1e-9))) best = { mine, theirs, from, floor };
        }
      }
    });
    if (best === undefined) return false;
    this.remove(best.mine, poorest);
    this.remove(best.theirs, best.from);
    this.add(best.theirs, poorest);
    this.add(best.mine, best.from);
    return true;
  }

  /** One device of each speed. */
  private distinct(members: readonly number[]): readonly number[] {
    return [...new Map(members.map((device) => [this.kinds.get(device)!, device])).values()];
  }

  private add(device: number, stage: number): void {
    this.members[stage]!.push(device);
    this.wealth[stage]! += this.rates.get(device)![stage]!;
  }

  private remove(device: number, stage: number): void {
    const members = this.members[stage]!;
    members.splice(members.indexOf(device), 1);
    this.wealth[stage]! -= this.rates.get(device)![stage]!;
  }
}
