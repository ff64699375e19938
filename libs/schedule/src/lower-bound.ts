import type { Schedule, StageTiming } from '@longtail/core';
import { activationHop, gradientHop } from './links.js';
import { limitOf, type StashLimit } from './stash.js';

/** What is known of the schedules that the bound is for. */
interface Shape extends Partial<Pick<Schedule, 'chunks' | 'splitsBackward'>> {
  readonly maxStash?: StashLimit;
}

/**
 * No schedule is shorter. Each worker and each uplink is a machine of its own: what it has to do cannot begin before a
 * first microbatch can have reached it (`head`), and after its last action a microbatch still has to go back to the first
 * stage (`tail`). A stage that waits for the way down and back (`loop`) is a machine with coupled tasks: doing all forwards
 * first is best, and then it idles until the first gradient can be there, or after its last forward until that one's is.
 * These two terms are what this adds to the bound m(F+B); they count when microbatches are few. Where memory is limited, a
 * place for a stash is a machine too, which a microbatch takes up until it has come back.
 */
export function lowerBound(
  stages: readonly StageTiming[],
  microbatches: number,
  { chunks = 1, splitsBackward = false, maxStash }: Shape = {},
): number {
  const workers = stages.length / chunks;
  const paths = pathsOf(stages, workers, splitsBackward);
  const bounds = paths.flatMap((path, stage) => [
    stageBound(path, paths[0]!, microbatches),
    stashBound(path, paths[0]!, Math.ceil(microbatches / limitOf(maxStash, stage % workers))),
  ]);
  for (let rank = 0; rank < workers; rank++) {
    const own = paths.filter((_, stage) => stage % workers === rank);
    bounds.push(workerBound(own, paths[0]!, microbatches), uplinkBound(stages, paths, rank, workers, microbatches));
  }
  return Math.max(...bounds);
}

interface StagePath {
  readonly forwardMs: number;
  /** The backward that stages above wait for: all of it, or the gradient of the input. */
  readonly backwardMs: number;
  /** The backward that nobody waits for. */
  readonly weightMs: number;
  /** From the beginning of a microbatch until it can be here. */
  readonly headMs: number;
  /** From the end of a forward here until the gradient can be back. */
  readonly loopMs: number;
  /** From the end of a backward here until that of the first stage can have ended. */
  readonly tailMs: number;
}

function pathsOf(stages: readonly StageTiming[], workers: number, splitsBackward: boolean): readonly StagePath[] {
  let [headMs, tailMs] = [0, 0];
  const along = stages.map((timing, stage) => {
    const { forwardMs } = timing;
    const backwardMs = splitsBackward ? timing.inputGradientMs : timing.backwardMs;
    const here = { forwardMs, backwardMs, weightMs: timing.backwardMs - backwardMs, headMs, tailMs };
    if (stage < stages.length - 1) {
      headMs += forwardMs + activationHop(stages, stage, workers).hopMs;
      tailMs += backwardMs + gradientHop(stages, stage + 1, workers).hopMs;
    }
    return here;
  });
  const last = along.at(-1)!;
  const wholeMs = last.headMs + last.forwardMs + last.backwardMs + last.tailMs;
  return along.map((path) => ({ ...path, loopMs: wholeMs - path.headMs - path.forwardMs - path.backwardMs - path.tailMs }));
}

function stageBound(path: StagePath, first: StagePath, microbatches: number): number {
  const { forwardMs, backwardMs, weightMs, headMs, loopMs } = path;
  const firstGradient = forwardMs + loopMs + microbatches * backwardMs;
  const lastGradient = microbatches * forwardMs + loopMs + backwardMs;
  return headMs + Math.max(Math.max(firstGradient, lastGradient) + returnMs(path, first), firstGradient + microbatches * weightMs);
}

/** Some place is taken by at least `turns` microbatches, one after the other. */
function stashBound(path: StagePath, first: StagePath, turns: number): number {
  const { forwardMs, backwardMs, weightMs, headMs, loopMs } = path;
  const roundTripMs = forwardMs + loopMs + backwardMs;
  return headMs + (turns - 1) * (roundTripMs + weightMs) + roundTripMs + returnMs(path, first);
}

function workerBound(own: readonly StagePath[], first: StagePath, microbatches: number): number {
  // A microbatch comes to the worker's first stage first, and leaves from it last.
  const nearest = own[0]!;
  const needed = own.reduce((sum, { forwardMs, backwardMs }) => sum + microbatches * (forwardMs + backwardMs), 0);
  const weights = own.reduce((sum, { weightMs }) => sum + microbatches * weightMs, 0);
  return nearest.headMs + needed + Math.max(weights, returnMs(nearest, first));
}

/** After a last backward, the way back; at either end of it a weight gradient may be left to do. */
function returnMs({ tailMs, weightMs }: StagePath, first: StagePath): number {
  return Math.max(weightMs, tailMs + first.weightMs);
}

function uplinkBound(
  stages: readonly StageTiming[],
  paths: readonly StagePath[],
  rank: number,
  workers: number,
  microbatches: number,
): number {
  if (workers === 1) return 0;
  let sendMs = 0;
  for (let stage = rank; stage < stages.length; stage += workers) {
    if (stage < stages.length - 1) sendMs += activationHop(stages, stage, workers).sendMs;
    if (stage > 0) sendMs += gradientHop(stages, stage, workers).sendMs;
  }
  const nearest = paths[rank]!;
  const firstMs = nearest.headMs + nearest.forwardMs + (rank < stages.length - 1 ? 0 : nearest.backwardMs);
  return firstMs + microbatches * sendMs + afterLastSendMs(stages, paths, rank, workers) + paths[0]!.weightMs;
}

/** The last that a worker sends is a gradient of its first stage; stage 0 sends none, so there it is that of its next. */
function afterLastSendMs(stages: readonly StageTiming[], paths: readonly StagePath[], rank: number, workers: number): number {
  const stage = rank > 0 ? rank : workers;
  if (stage < stages.length) return paths[stage]!.tailMs - gradientHop(stages, stage, workers).sendMs;
  return paths[0]!.loopMs - activationHop(stages, 0, workers).sendMs + paths[0]!.backwardMs;
}
