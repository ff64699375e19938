import type { StageSums, StageTiming } from '@longtail/core';
import type { ActionLists } from './lists.js';
import { timesOf } from './simulate.js';

/** Steps after which they are hardly ever still getting longer or shorter. */
const MOST_STEPS = 8;
/** Of a step: what is closer is the same. */
const SAME = 1e-6;

/**
 * What an inner step takes among others like it, in milliseconds from its beginning to that of the next: sums follow a worker's last pass, and
 * whoever has them begins the next step, so that a worker which waits for longer finds passes waiting, as the first stage has gone ahead. Throws on a deadlock.
 */
export function simulateSteps(lists: ActionLists, stages: readonly StageTiming[], sums: readonly StageSums[]): number {
  const ofRank = (key: keyof StageSums) => lists.map((_, rank) => Math.max(...sums.filter((_, stage) => stage % lists.length === rank).map((sum) => sum[key])));
  const [ownMs, sharedMs] = [ofRank('ownMs'), ofRank('sharedMs')];
  let freeAtMs: readonly number[] = lists.map(() => 0);
  for (let step = 1; ; step++) {
    const ownAtMs = timesOf(lists, stages, freeAtMs).endMs.map((ends, rank) => ends.at(-1)! + ownMs[rank]!);
    const togetherAtMs = Math.max(...ownAtMs.filter((_, rank) => sharedMs[rank]! > 0));
    const doneAtMs = ownAtMs.map((ms, rank) => (sharedMs[rank]! > 0 ? togetherAtMs + sharedMs[rank]! : ms));
    const [stepMs] = doneAtMs as [number];
    const next = doneAtMs.map((ms) => Math.max(0, ms - stepMs));
    if (step === MOST_STEPS || next.every((ms, rank) => Math.abs(ms - freeAtMs[rank]!) <= SAME * stepMs)) return stepMs;
    freeAtMs = next;
  }
}
