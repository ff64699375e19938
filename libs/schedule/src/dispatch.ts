import type { Action, StageTiming } from '@longtail/core';
import { durationMs } from './durations.js';
import { activationHop, gradientHop, type Hop, Uplink } from './links.js';
import type { ActionLists } from './lists.js';

export interface DispatchRule {
  /** Most stashes of each stage, at least 1. */
  readonly caps: readonly number[];
  /** What a worker does that could do either. */
  readonly prefer: 'forward' | 'backward';
  readonly splitBackward: boolean;
}

export interface Dispatched {
  readonly makespanMs: number;
  /** Most stashes of each stage that were held at once. */
  readonly stashes: readonly number[];
  lists(): ActionLists;
}

const OPS = ['F', 'B', 'I', 'W'] as const;
const [F, B, I, W] = [0, 1, 2, 3];

/** Sums in another order come to as much, but for this part. */
const ROUNDING = 1e-9;

/**
 * What workers, one a stage, do when none idles that has something to do: an event simulation of list scheduling. A forward
 * must find room under its stage's cap; a weight gradient is done when nothing else can be. Any caps will do: of the
 * microbatches under way the one that has come furthest is never held up, as no cap stands before a backward pass.
 * Given up, and undefined, once it is certain to take longer than `withinMs`.
 *
 * Ties go to the lower rank, and the arithmetic is additions and comparisons of the given timings, so that every worker
 * derives the same lists.
 */
export function dispatch(stages: readonly StageTiming[], microbatches: number, rule: DispatchRule, withinMs = Infinity): Dispatched | undefined {
  const workers = stages.map((_, stage) => new StageWorker(stages, stage, microbatches, rule));
  const lastMs = withinMs * (1 + ROUNDING);
  let makespanMs = 0;
  const total = stages.length * microbatches * (rule.splitBackward ? 3 : 2);
  for (let count = 0; count < total; count++) {
    const worker = earliest(workers);
    const op = worker.take();
    if (worker.doneAtMs() > lastMs) return undefined;
    const endMs = worker.freeAtMs;
    makespanMs = Math.max(makespanMs, endMs);
    const { stage } = worker;
    if (op === F && stage === stages.length - 1) worker.gradientArrives(endMs);
    else if (op === F) workers[stage + 1]!.activationArrives(worker.uplink.send(endMs, worker.onward!));
    else if (op !== W && stage > 0) workers[stage - 1]!.gradientArrives(worker.uplink.send(endMs, worker.back!));
  }
  return { makespanMs, stashes: workers.map(({ peakStash }) => peakStash), lists: () => workers.map((worker) => worker.actions()) };
}

function earliest(workers: readonly StageWorker[]): StageWorker {
  let first = workers[0]!;
  for (let stage = 1; stage < workers.length; stage++) if (workers[stage]!.nextMs < first.nextMs) first = workers[stage]!;
  return first;
}

class StageWorker {
  readonly uplink = new Uplink();
  /** To the next stage and to the one before, where there is one. */
  readonly onward: Hop | undefined;
  readonly back: Hop | undefined;
  freeAtMs = 0;
  /** When the next action could begin; Infinity when nothing is known to come. */
  nextMs: number;
  peakStash = 0;
  private readonly split: boolean;
  private readonly forwardFirst: boolean;
  private readonly cap: number;
  /** By op. */
  private readonly durationsMs: Float64Array;
  /** By microbatch; Infinity: not known yet. */
  private readonly activationsAtMs: Float64Array;
  private readonly gradientsAtMs: Float64Array;
  private readonly ops: Uint8Array;
  private taken = 0;
  private activations = 0;
  private gradients = 0;
  private forwards = 0;
  private backwards = 0;
  private weights = 0;
  /** What it has still to compute, and what its last gradient takes from there to the end of the first stage. */
  private leftMs: number;
  private readonly homeMs: number;

  constructor(
    stages: readonly StageTiming[],
    readonly stage: number,
    private readonly microbatches: number,
    rule: DispatchRule,
  ) {
    this.split = rule.splitBackward;
    this.forwardFirst = rule.prefer === 'forward';
    this.cap = rule.caps[stage]!;
    const timing = stages[stage]!;
    this.onward = stage < stages.length - 1 ? activationHop(stages, stage, stages.length) : undefined;
    this.back = stage > 0 ? gradientHop(stages, stage, stages.length) : undefined;
    this.durationsMs = Float64Array.from(OPS, (op) => durationMs(op, timing));
    // Everything is there for the first stage from the beginning.
    this.activationsAtMs = new Float64Array(microbatches).fill(stage === 0 ? 0 : Infinity);
    this.gradientsAtMs = new Float64Array(microbatches).fill(Infinity);
    this.ops = new Uint8Array(microbatches * (this.split ? 3 : 2));
    this.nextMs = stage === 0 ? 0 : Infinity;
    this.leftMs = microbatches * (timing.forwardMs + timing.backwardMs);
    this.homeMs = this.split ? 0 : stages.slice(0, stage).reduce((sum, { backwardMs, gradientHopMs }) => sum + backwardMs + gradientHopMs, 0);
  }

  activationArrives(atMs: number): void {
    this.activationsAtMs[this.activations++] = atMs;
    this.nextMs = this.findNext();
  }

  gradientArrives(atMs: number): void {
    this.gradientsAtMs[this.gradients++] = atMs;
    this.nextMs = this.findNext();
  }

  /** Does what the rule says at `nextMs`. */
  take(): number {
    const op = this.choose();
    if (op === F) this.peakStash = Math.max(this.peakStash, ++this.forwards - this.released());
    else if (op === W) this.weights++;
    else this.backwards++;
    this.ops[this.taken++] = op;
    const tookMs = this.durationsMs[op]!;
    this.leftMs -= tookMs;
    this.freeAtMs = this.nextMs + tookMs;
    this.nextMs = this.findNext();
    return op;
  }

  /** The whole is done no sooner. */
  doneAtMs(): number {
    return this.freeAtMs + this.leftMs + this.homeMs;
  }

  actions(): readonly Action[] {
    const microbatches = [0, 0, 0, 0];
    return Array.from(this.ops, (op) => ({ op: OPS[op]!, stage: this.stage, microbatch: microbatches[op]!++ }));
  }

  private choose(): number {
    const forward = this.forwardAtMs() <= this.nextMs;
    const backward = this.backwardAtMs() <= this.nextMs;
    if (forward && (!backward || this.forwardFirst)) return F;
    if (backward) return this.split ? I : B;
    return W;
  }

  private findNext(): number {
    const weightAtMs = this.split && this.weights < this.backwards ? 0 : Infinity;
    return Math.max(this.freeAtMs, Math.min(this.forwardAtMs(), this.backwardAtMs(), weightAtMs));
  }

  private forwardAtMs(): number {
    const allowed = this.forwards < this.microbatches && this.forwards - this.released() < this.cap;
    return allowed ? this.activationsAtMs[this.forwards]! : Infinity;
  }

  private backwardAtMs(): number {
    return this.backwards < this.microbatches ? this.gradientsAtMs[this.backwards]! : Infinity;
  }

  private released(): number {
    return this.split ? this.weights : this.backwards;
  }
}
