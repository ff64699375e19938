import type { BlockRange } from '@longtail/core';
import type { DeviceSets } from './device-sets.js';
import type { CostModel } from './cost-model.js';
import type { StageCost, WeighedStages } from './group-cost.js';
import type { GroupDraft, StageDraft } from './group-draft.js';
import type { HopWay } from './links.js';
import { groupCost } from './group-cost.js';
import type { GroupCost } from './rounds.js';
import { samplesWithin } from './rounds.js';

/** The back of a pipeline: stages from `start` to the end of the model. */
interface Tail extends WeighedStages {
  readonly start: number;
  readonly front: number;
  readonly recompute: boolean;
  /** Which of its stages share what with blocks before `start`. */
  readonly open: string;
  readonly next: Tail | undefined;
}

/** A stage on a set of devices, with whether each fits, by the count of microbatches in flight. */
interface StageOption {
  readonly cost: StageCost;
  readonly recompute: boolean;
}

export interface Candidate {
  readonly set: number;
  readonly layout: GroupDraft;
  readonly cost: GroupCost;
}

/** What a known plan leaves to be won: rounds that are no longer, with what the devices outside of a set add at most. */
export interface Incumbent {
  readonly roundMs: number;
  outside(set: number): number;
}

/**
 * Every pipeline worth having on every set of devices: no other on the same set is at least as good in period, fill, sums and tail.
 * It goes from the end of the model to its beginning, so that a stage knows how many stages follow and how much it stashes:
 * dp[devices used][devices of the front stage][first block], as NUMBERS.md's dp[mask][e] with the front stage beside the
 * mask, because a hop depends on both of its ends. The back of a pipeline with which the batch cannot be done in the
 * incumbent's round, whatever comes before it and whatever the others do, is given up.
 */
export function pipelinesOn(
  model: CostModel,
  sets: DeviceSets,
  microbatch: number,
  alone: boolean,
  incumbent?: Incumbent,
): readonly Candidate[] {
  return new ChainSearch(model, sets, microbatch, alone, incumbent).run();
}

class ChainSearch {
  private readonly blocks: number;
  private readonly cuts: readonly number[];
  /** [first block] → used set → fronts of good tails. */
  private readonly tails: Map<number, Tail[]>[];
  private readonly options = new Map<number, StageOption | null>();
  private readonly ways = new Map<number, HopWay>();

  constructor(
    private readonly model: CostModel,
    private readonly sets: DeviceSets,
    private readonly microbatch: number,
    private readonly alone: boolean,
    private readonly incumbent: Incumbent | undefined,
  ) {
    this.blocks = model.costs.blocks;
    this.cuts = Array.from({ length: this.blocks }, (_, at) => at).filter((at) => model.costs.canCut(at));
    this.tails = Array.from({ length: this.blocks + 1 }, () => new Map<number, Tail[]>());
  }

  run(): readonly Candidate[] {
    this.extend(this.blocks, 0, undefined);
    for (const start of [...this.cuts].reverse()) {
      if (start === 0) continue;
      for (const [used, tails] of this.tails[start]!) for (const tail of tails) this.extend(start, used, tail);
    }
    return [...this.tails[0]!].flatMap(([set, tails]) => tails.map((tail) => this.candidate(set, tail)));
  }

  /** Puts each possible stage before a tail. */
  private extend(end: number, used: number, tail: Tail | undefined): void {
    const stages = (tail?.stages ?? 0) + 1;
    for (const set of this.sets.subsetsOf(this.sets.full - used)) {
      if (set === 0 || !this.sets.all[set]!.mayShareStage) continue;
      const hop = tail && this.model.hop(this.way(set, tail.front), end, this.microbatch);
      for (const start of this.cuts) {
        if (start >= end) break;
        // The last devices leave nothing for the blocks before.
        if (start > 0 && used + set === this.sets.full) continue;
        const option = this.option(set, start, end, stages);
        if (option === null) continue;
        const { cost, recompute } = option;
        const [tieMs, open] = this.model.ties.none ? [0, ''] : this.ties(set, start, end, tail);
        this.keep(used + set, {
          start,
          front: set,
          stages,
          periodMs: Math.max(tail?.periodMs ?? 0, hop?.periodMs ?? 0, cost.periodMs),
          onceMs: (tail?.onceMs ?? 0) + (hop ? hop.activationMs + hop.gradientMs : 0) + cost.latencyMs + tieMs,
          syncMs: Math.max(tail?.syncMs ?? 0, cost.syncMs),
          tailMs: Math.max(tail?.tailMs ?? 0, this.model.tailMs(cost, this.sets.all[set]!.devices, start, end, this.alone)),
          uploads: (tail?.uploads ?? 1) + this.model.moreUploads(this.sets.all[set]!.devices.length, start, end),
          recompute,
          open,
          next: tail,
        });
      }
    }
  }

  /** What the stage sends those behind it of what they share; and which stages share what with blocks before it. */
  private ties(set: number, start: number, end: number, tail: Tail | undefined): readonly [ms: number, open: string] {
    const { model } = this;
    const front = { start, end, devices: this.sets.all[set]!.devices, recompute: false };
    const openIn = (stage: BlockRange, front: number) => {
      const open = model.ties.openBefore(start, stage);
      return open && `${front}:${open}`;
    };
    let ms = 0;
    let open = openIn(front, set);
    for (let behind = tail; behind !== undefined; behind = behind.next) {
      const stage = { start: behind.start, end: behind.next?.start ?? this.blocks, devices: this.sets.all[behind.front]!.devices, recompute: false };
      if (model.ties.values(front, stage) > 0) ms = Math.max(ms, model.tieCosts.between(this.way(set, behind.front), front, stage));
      open += openIn(stage, behind.front);
    }
    return [ms, open];
  }

  /** Finished pipelines compare whatever their front; unfinished ones only with the same front, and the same who share what with it. A single stage fills nothing: it stands apart. */
  private keep(used: number, tail: Tail): void {
    if (!this.promises(used, tail)) return;
    const byUsed = this.tails[tail.start]!;
    let list = byUsed.get(used);
    if (list === undefined) byUsed.set(used, (list = []));
    const comparable = (other: Tail) => (tail.start === 0 ? (other.stages === 1) === (tail.stages === 1) : other.front === tail.front && other.open === tail.open);
    const better = (a: Tail, b: Tail) =>
      a.periodMs <= b.periodMs && a.onceMs <= b.onceMs && a.syncMs <= b.syncMs && a.tailMs <= b.tailMs && a.uploads <= b.uploads && (tail.start === 0 || a.stages <= b.stages);
    if (list.some((other) => comparable(other) && better(other, tail))) return;
    let kept = 0;
    for (const other of list) if (!comparable(other) || !better(tail, other)) list[kept++] = other;
    list.length = kept;
    list.push(tail);
  }

  private promises(used: number, tail: Tail): boolean {
    if (this.incumbent === undefined) return true;
    const { batch, stepsPerRound } = this.model.request;
    const cost = this.costOf(tail);
    // Stages still to come may make the period longer than the latency known so far: only then is that a single stage's cost.
    const samples = samplesWithin({ ...cost, fillMs: Math.max(0, cost.fillMs), minSamples: 0 }, this.incumbent.roundMs, stepsPerRound, 0);
    return samples + (this.alone ? 0 : this.incumbent.outside(used)) >= batch * (1 - 1e-9);
  }

  private option(set: number, start: number, end: number, inFlight: number): StageOption | null {
    const key = ((set * (this.blocks + 1) + start) * (this.blocks + 1) + end) * 1024 + inFlight;
    let option = this.options.get(key);
    if (option === undefined) this.options.set(key, (option = this.weigh(set, start, end, inFlight)));
    return option;
  }

  /** All replicas of a stage do the same: if one has to recompute, all do. */
  private weigh(set: number, start: number, end: number, inFlight: number): StageOption | null {
    const { devices } = this.sets.all[set]!;
    let recompute = false;
    for (const device of devices) {
      const needed = this.model.memory.recomputeFor(device, start, end, this.microbatch, inFlight);
      if (needed === undefined) return null;
      recompute ||= needed;
    }
    return { cost: this.model.stage(devices, start, end, this.microbatch, recompute), recompute };
  }

  private way(from: number, to: number): HopWay {
    const key = from * (this.sets.full + 1) + to;
    let way = this.ways.get(key);
    // Two sets that share representatives stand for different devices: those of the union, split.
    if (way === undefined) this.ways.set(key, (way = this.model.links.between(...this.apart(from, to))));
    return way;
  }

  private apart(from: number, to: number): [readonly number[], readonly number[]] {
    const counts = this.sets.all[from]!.counts;
    const other = this.sets.all[to]!.counts.flatMap((taken, c) => this.sets.classes[c]!.slice(counts[c]!, counts[c]! + taken));
    return [this.sets.all[from]!.devices, other];
  }

  private costOf({ stages, periodMs, onceMs, syncMs, tailMs, uploads }: Tail): GroupCost {
    return groupCost({ microbatch: this.microbatch, stages, periodMs, onceMs, syncMs, tailMs, uploads });
  }

  private candidate(set: number, tail: Tail): Candidate {
    return { set, cost: this.costOf(tail), layout: { microbatch: this.microbatch, stages: this.stagesOf(tail) } };
  }

  private stagesOf(first: Tail): StageDraft[] {
    const taken = this.sets.classes.map(() => 0);
    const stages: StageDraft[] = [];
    for (let tail: Tail | undefined = first; tail !== undefined; tail = tail.next) {
      const devices = this.sets.all[tail.front]!.counts.flatMap((count, c) => this.sets.classes[c]!.slice(taken[c]!, (taken[c]! += count)));
      stages.push({ start: tail.start, end: tail.next?.start ?? this.blocks, devices, recompute: tail.recompute });
    }
    return stages;
  }
}
