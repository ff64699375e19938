import type { Action, StageTiming } from '@longtail/core';
import { durationMs } from './durations.js';
import { activationHop, gradientHop, Uplink } from './links.js';
import type { ActionLists } from './lists.js';

export interface DispatchRule {
  /** Most stashes of each stage, at least 1. */
  readonly caps: readonly number[];
  /** What a worker does that could do either. */
  readonly prefer: 'forward' | 'backward';
  readonly splitBackward: boolean;
}

interface Dispatched {
  readonly lists: ActionLists;
  readonly makespanMs: number;
  /** Most stashes of each stage that were held at once. */
  readonly stashes: readonly number[];
}

/**
 * What workers, one a stage, do when none idles that has something to do: an event simulation of list scheduling. A forward
 * must find room under its stage's cap; a weight gradient is done when nothing else can be. Any caps will do: of the
 * microbatches under way the one that has come furthest is never held up, as no cap stands before a backward pass.
 *
 * Ties go to the lower rank, and the arithmetic is additions and comparisons of the given timings, so that every worker
 * derives the same lists.
 */
export function dispatch(stages: readonly StageTiming[], microbatches: number, rule: DispatchRule): Dispatched {
  const workers = stages.map((timing, stage) => new StageWorker(timing, stage, microbatches, rule));
  // Everything is there for the first stage from the beginning.
  for (let microbatch = 0; microbatch < microbatches; microbatch++) workers[0]!.activationsAtMs.push(0);
  let makespanMs = 0;
  const total = stages.length * microbatches * (rule.splitBackward ? 3 : 2);
  for (let count = 0; count < total; count++) {
    const worker = earliest(workers);
    const op = worker.take();
    const endMs = worker.freeAtMs;
    makespanMs = Math.max(makespanMs, endMs);
    const { stage } = worker;
    if (op === 'F' && stage === stages.length - 1) worker.gradientArrives(endMs);
    else if (op === 'F') workers[stage + 1]!.activationArrives(worker.uplink.send(endMs, activationHop(stages, stage, stages.length)));
    else if (op !== 'W' && stage > 0)
      workers[stage - 1]!.gradientArrives(worker.uplink.send(endMs, gradientHop(stages, stage, stages.length)));
  }
  return { lists: workers.map(({ actions }) => actions), makespanMs, stashes: workers.map(({ peakStash }) => peakStash) };
}

function earliest(workers: readonly StageWorker[]): StageWorker {
  let first = workers[0]!;
  for (const worker of workers) if (worker.nextMs < first.nextMs) first = worker;
  return first;
}

class StageWorker {
  readonly actions: Action[] = [];
  readonly uplink = new Uplink();
  readonly activationsAtMs: number[] = [];
  freeAtMs = 0;
  /** When the next action could begin; Infinity when nothing is known to come. */
  nextMs: number;
  peakStash = 0;
  private readonly gradientsAtMs: number[] = [];
  private readonly cap: number;
  private forwards = 0;
  private backwards = 0;
  private weights = 0;

  constructor(
    private readonly timing: StageTiming,
    readonly stage: number,
    private readonly microbatches: number,
    private readonly rule: DispatchRule,
  ) {
    this.cap = rule.caps[stage]!;
    this.nextMs = stage === 0 ? 0 : Infinity;
  }

  activationArrives(atMs: number): void {
    this.activationsAtMs.push(atMs);
    this.nextMs = this.findNext();
  }

  gradientArrives(atMs: number): void {
    this.gradientsAtMs.push(atMs);
    this.nextMs = this.findNext();
  }

  /** Does what the rule says at `nextMs`. */
  take(): Action['op'] {
    const op = this.choose();
    if (op === 'F') this.peakStash = Math.max(this.peakStash, this.forwards + 1 - this.released());
    const microbatch = op === 'F' ? this.forwards++ : op === 'W' ? this.weights++ : this.backwards++;
    this.actions.push({ op, stage: this.stage, microbatch });
    this.freeAtMs = this.nextMs + durationMs(op, this.timing);
    this.nextMs = this.findNext();
    return op;
  }

  private choose(): Action['op'] {
    const forward = this.forwardAtMs() <= this.nextMs;
    const backward = this.backwardAtMs() <= this.nextMs;
    if (forward && (!backward || this.rule.prefer === 'forward')) return 'F';
    if (backward) return this.rule.splitBackward ? 'I' : 'B';
    return 'W';
  }

  private findNext(): number {
    const weightAtMs = this.rule.splitBackward && this.weights < this.backwards ? 0 : Infinity;
    return Math.max(this.freeAtMs, Math.min(this.forwardAtMs(), this.backwardAtMs(), weightAtMs));
  }

  private forwardAtMs(): number {
    const allowed = this.forwards < this.microbatches && this.forwards - this.released() < this.cap;
    return allowed ? (this.activationsAtMs[this.forwards] ?? Infinity) : Infinity;
  }

  private backwardAtMs(): number {
    return this.gradientsAtMs[this.backwards] ?? Infinity;
  }

  private released(): number {
    return this.rule.splitBackward ? this.weights : this.backwards;
  }
}
