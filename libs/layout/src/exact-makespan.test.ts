import type { MakespanOf, StageTiming } from '@longtail/core';
import { expect, test } from 'vitest';
import { exactMakespan } from './exact-makespan.js';

const stage = (forwardMs: number): StageTiming => ({ forwardMs, backwardMs: 2 * forwardMs, inputGradientMs: forwardMs, activationHopMs: 1, gradientHopMs: 1 });
const order = { schedule: 'capped-1f1b', chunks: 1 } as const;

test('what it remembers is of the same stages, microbatches, room, order and sums only', () => {
  const asked: readonly Parameters<MakespanOf>[] = [
    [[stage(3), stage(5)], 8, [8, 8], order],
    [[stage(3), stage(6)], 8, [8, 8], order],
    [[stage(3), stage(5)], 9, [8, 8], order],
    [[stage(3), stage(5)], 8, [1, 1], order],
    [[stage(3), stage(5)], 8, [8, 8], { ...order, schedule: 'gpipe' }],
    [[stage(3), stage(5)], 8, [8, 8], { ...order, sums: [{ ownMs: 0, sharedMs: 7 }, { ownMs: 0, sharedMs: 7 }] }],
  ];
  const remembering = exactMakespan();
  const first = asked.map((of) => remembering(...of));
  expect(first).toEqual(asked.map((of) => exactMakespan()(...of)));
  expect(structuredClone(asked).map((of) => remembering(...of))).toEqual(first);
  expect(new Set(first.slice(0, 5).map(({ makespanMs, stash }) => `${makespanMs}/${stash.join()}`)).size).toBe(5);
  expect(first.map(({ sumsMs }) => sumsMs)).toEqual([0, 0, 0, 0, 0, 7]);
});
