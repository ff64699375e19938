import type { Action, StageTiming } from '@longtail/core';
import { durationMs } from './durations.js';
import { activationHop, gradientHop, Uplink } from './links.js';
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

/**
 * When everything happens if each worker does its list in order, each action as soon as its input is there. Exact: with the
 * orders fixed, a start is the longest path to it, and the order of evaluation does not matter. `freeAtMs`: when each worker may begin. Throws on a deadlock.
 */
export function simulatePipeline(lists: ActionLists, stages: readonly StageTiming[], freeAtMs: readonly number[] = []): PipelineTrace {
  const arrivals = new Arrivals(stages, lists.length);
  const timed: TimedAction[][] = lists.map(() => []);
  for (let advanced = true; advanced;) {
    advanced = false;
    for (const [rank, list] of lists.entries()) {
      const done = timed[rank]!;
      for (let action = list[done.length]; action; action = list[done.length]) {
        const inputMs = arrivals.input(action);
        if (inputMs === undefined) break;
        const startMs = Math.max(done.at(-1)?.endMs ?? freeAtMs[rank] ?? 0, inputMs);
        const endMs = startMs + durationMs(action.op, stages[action.stage]!);
        done.push({ ...action, startMs, endMs });
        arrivals.output(action, rank, endMs);
        advanced = true;
      }
    }
  }
  for (const [rank, list] of lists.entries()) {
    const waiting = list[timed[rank]!.length];
    if (waiting) throw new Error(`deadlock: worker ${rank} waits for the input of ${describe(waiting)}`);
  }
  return traceOf(timed);
}

export function describe({ op, stage, microbatch }: Action): string {
  return `${op} of stage ${stage}, microbatch ${microbatch}`;
}

/** When the inputs of actions are where they are needed. */
class Arrivals {
  private readonly atMs = new Map<string, number>();
  private readonly uplinks: readonly Uplink[];

  constructor(
    private readonly stages: readonly StageTiming[],
    private readonly workers: number,
  ) {
    this.uplinks = Array.from({ length: workers }, () => new Uplink());
  }

  /** Undefined while it is not known. */
  input({ op, stage, microbatch }: Action): number | undefined {
    if (op === 'F') return stage === 0 ? 0 : this.atMs.get(`F/${stage}/${microbatch}`);
    if (op === 'W') return this.atMs.get(`W/${stage}/${microbatch}`);
    return this.atMs.get(`B/${stage}/${microbatch}`);
  }

  output({ op, stage, microbatch }: Action, rank: number, endMs: number): void {
    if (op === 'F') {
      if (stage === this.stages.length - 1) this.atMs.set(`B/${stage}/${microbatch}`, endMs);
      else this.atMs.set(`F/${stage + 1}/${microbatch}`, this.uplinks[rank]!.send(endMs, activationHop(this.stages, stage, this.workers)));
      return;
    }
    if (op === 'W') return;
    if (op === 'I') this.atMs.set(`W/${stage}/${microbatch}`, endMs);
    if (stage > 0)
      this.atMs.set(`B/${stage - 1}/${microbatch}`, this.uplinks[rank]!.send(endMs, gradientHop(this.stages, stage, this.workers)));
  }
}

function traceOf(timed: readonly (readonly TimedAction[])[]): PipelineTrace {
  const makespanMs = Math.max(0, ...timed.map((actions) => actions.at(-1)?.endMs ?? 0));
  const ranks = timed.map((actions) => {
    const busyMs = actions.reduce((sum, { startMs, endMs }) => sum + (endMs - startMs), 0);
    return { actions, busyMs, idleMs: makespanMs - busyMs, peakStash: peakStash(actions) };
  });
  // Stage 0 is where a microbatch enters, and where it leaves.
  const peakInFlight = peakStash((timed[0] ?? []).filter(({ stage }) => stage === 0));
  return { makespanMs, ranks, peakInFlight };
}
