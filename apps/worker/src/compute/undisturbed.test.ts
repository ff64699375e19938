import type { BlockTiming, Job } from '@longtail/core';
import { expect, test } from 'vitest';
import { undisturbedTimes } from './undisturbed.js';

const job = {
  name: 'test',
  model: { type: 'mlp', input: 6, hidden: [5, 4], outputs: 3 },
  loss: 'cross-entropy',
  train: { batch: 16, optimizer: { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 } },
  sync: { codec: 'fp32' },
  cluster: {},
} as unknown as Job;

/** At a quarter of the speed: 4 ms forward and 8 backward a sample, of which calls take 1 and 2 a pass. */
const timings = ['hidden0', 'hidden1', 'output'].flatMap((block) =>
  [1, 4].map((microbatch): BlockTiming => {
    const [forwardMs, backwardMs] = [1 + 4 * microbatch, 2 + 8 * microbatch];
    return { block, microbatch, forwardMs, backwardMs, inputGradientMs: backwardMs / 2, stashBytes: 0, forwardCallMs: 1, backwardCallMs: 2, recomputeMs: 0 };
  }),
);

test('passes of a stage at full speed: one call and the work of its blocks, between the sizes that were measured', async () => {
  const times = (await undisturbedTimes(job, 0.25, timings))!;
  expect(times({ start: 0, end: 2 }, 2, false)).toEqual({ forwardMs: 0.25 * (1 + 2 * 8), backwardMs: 0.25 * (2 + 2 * 16) });
  expect(times({ start: 0, end: 2 }, 4, true).backwardMs).toBe(0.25 * (2 + 2 * 32 + 2 * 16));
  expect(times('all', 1, false)).toEqual({ forwardMs: 0.25 * (1 + 3 * 4), backwardMs: 0.25 * (2 + 3 * 8) });
});

test('nothing is known where a block was not measured', async () => {
  expect(await undisturbedTimes(job, 1, timings.filter(({ block }) => block !== 'output'))).toBeUndefined();
});
