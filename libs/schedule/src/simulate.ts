import type { Action, StageTiming } from '@longtail/core';
import { durationMs } from './durations.js';
import { activationHop, gradientHop, type Hop, Uplink } from './links.js';
import type { ActionLists } from './lists.js';
import { peakStash } from './stash.js';

export interface TimedAction extends Action {
  readonly startMs: number;
  readonly endMs: number;
}

export interface RankTrace {
  readonly actions: readonly TimedAction[];
  readonly busyMs: number;
  /** The bubble: what is left of the makespan. */
  readonly idleMs: number;
  readonly peakStash: number;
}

export interface PipelineTrace {
  readonly makespanMs: number;
  readonly ranks: readonly RankTrace[];
  /** Most microbatches that had entered the pipeline at one moment and not left it again. */
  readonly peakInFlight: number;
}

/** By worker, in the order of its list. */
export interface ActionTimes {
  readonly startMs: readonly Float64Array[];
  readonly endMs: readonly Float64Array[];
}

/**
 * When everything happens if each worker does its list in order, each action as soon as its input is there. Exact: with the
 * orders fixed, a start is the longest path to it, and the order of evaluation does not matter. `freeAtMs`: when each worker may begin. Throws on a deadlock.
 */
export function simulatePipeline(lists: ActionLists, stages: readonly StageTiming[], freeAtMs: readonly number[] = []): PipelineTrace {
  return traceOf(lists, timesOf(lists, stages, freeAtMs));
}

export function timesOf(lists: ActionLists, stages: readonly StageTiming[], freeAtMs: readonly number[] = []): ActionTimes {
  const arrivals = new Arrivals(lists, stages);
  const done = lists.map(() => 0);
  const [startMs, endMs] = [lists.map(({ length }) => new Float64Array(length)), lists.map(({ length }) => new Float64Array(length))];
  for (let advanced = true; advanced;) {
    advanced = false;
    for (const [rank, list] of lists.entries()) {
      let next = done[rank]!;
      let atMs = next > 0 ? endMs[rank]![next - 1]! : (freeAtMs[rank] ?? 0);
      for (; next < list.length; next++) {
        const action = list[next]!;
        const inputMs = arrivals.input(action);
        if (Number.isNaN(inputMs)) break;
        startMs[rank]![next] = Math.max(atMs, inputMs);
        atMs = startMs[rank]![next]! + durationMs(action.op, stages[action.stage]!);
        endMs[rank]![next] = atMs;
        arrivals.output(action, rank, atMs);
      }
      advanced ||= next > done[rank]!;
      done[rank] = next;
    }
  }
  for (const [rank, list] of lists.entries()) {
    const waiting = list[done[rank]!];
    if (waiting) throw new Error(`deadlock: worker ${rank} waits for the input of ${describe(waiting)}`);
  }
  return { startMs, endMs };
}

/** The end of the last action, where only that is of interest. Throws on a deadlock. */
export function pipelineMakespan(lists: ActionLists, stages: readonly StageTiming[]): number {
  return makespanOf(timesOf(lists, stages));
}

function makespanOf({ endMs }: ActionTimes): number {
  return Math.max(0, ...endMs.map((ends) => ends.at(-1) ?? 0));
}

export function describe({ op, stage, microbatch }: Action): string {
  return `${op} of stage ${stage}, microbatch ${microbatch}`;
}

/** When the inputs of actions are where they are needed, [stage][microbatch]; NaN while it is not known. */
class Arrivals {
  private readonly width: number;
  private readonly last: number;
  private readonly activationsAtMs: Float64Array;
  private readonly gradientsAtMs: Float64Array;
  /** … of the input, which the gradient of the weights comes after. */
  private readonly inputGradientsAtMs: Float64Array;
  private readonly uplinks: readonly Uplink[];
  /** From a stage to the next, and from the next to it. */
  private readonly onward: readonly Hop[];
  private readonly back: readonly Hop[];

  constructor(lists: ActionLists, stages: readonly StageTiming[]) {
    this.width = 1 + lists.reduce((most, list) => list.reduce((larger, { microbatch }) => Math.max(larger, microbatch), most), -1);
    this.last = stages.length - 1;
    const unknown = () => new Float64Array(stages.length * this.width).fill(NaN);
    this.activationsAtMs = unknown().fill(0, 0, this.width);
    this.gradientsAtMs = unknown();
    this.inputGradientsAtMs = unknown();
    this.uplinks = lists.map(() => new Uplink());
    this.onward = stages.slice(1).map((_, stage) => activationHop(stages, stage, lists.length));
    this.back = stages.slice(1).map((_, stage) => gradientHop(stages, stage + 1, lists.length));
  }

  input({ op, stage, microbatch }: Action): number {
    const of = op === 'F' ? this.activationsAtMs : op === 'W' ? this.inputGradientsAtMs : this.gradientsAtMs;
    return of[stage * this.width + microbatch]!;
  }

  output({ op, stage, microbatch }: Action, rank: number, endMs: number): void {
    const at = stage * this.width + microbatch;
    if (op === 'F') {
      if (stage === this.last) this.gradientsAtMs[at] = endMs;
      else this.activationsAtMs[at + this.width] = this.uplinks[rank]!.send(endMs, this.onward[stage]!);
      return;
    }
    if (op === 'W') return;
    if (op === 'I') this.inputGradientsAtMs[at] = endMs;
    if (stage > 0) this.gradientsAtMs[at - this.width] = this.uplinks[rank]!.send(endMs, this.back[stage - 1]!);
  }
}

function traceOf(lists: ActionLists, times: ActionTimes): PipelineTrace {
  const makespanMs = makespanOf(times);
  const timed = lists.map((list, rank) => list.map((action, i): TimedAction => ({ ...action, startMs: times.startMs[rank]![i]!, endMs: times.endMs[rank]![i]! })));
  const ranks = timed.map((actions) => {
    const busyMs = actions.reduce((sum, { startMs, endMs }) => sum + (endMs - startMs), 0);
    return { actions, busyMs, idleMs: makespanMs - busyMs, peakStash: peakStash(actions) };
  });
  // Stage 0 is where a microbatch enters, and where it leaves.
  const peakInFlight = peakStash((timed[0] ?? []).filter(({ stage }) => stage === 0));
  return { makespanMs, ranks, peakInFlight };
}
