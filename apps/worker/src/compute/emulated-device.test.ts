import { expect, it } from 'vitest';
import { EmulatedDevice } from './emulated-device.js';

const even = { uniform: () => 0.5 };

it('takes its overhead for each pass, and its rate for samples', () => {
  const device = new EmulatedDevice({ samplesPerSecond: 100, overheadMs: 5, jitter: 0 }, even);
  expect(device.passMs(20, 1)).toBeCloseTo(205);
  expect(device.passMs(0, 1)).toBe(5);
  expect(device.passMs(20, 1 / 3)).toBeCloseTo(5 + 200 / 3);
});

it('takes up to its jitter more or less', () => {
  const at = (uniform: number) => new EmulatedDevice({ samplesPerSecond: 100, overheadMs: 0, jitter: 0.2 }, { uniform: () => uniform }).passMs(10, 1);
  expect([at(0), at(0.5), at(1)].map(Math.round)).toEqual([80, 100, 120]);
});

it('has a profile whose blocks, as one stage, take what a pass takes, and stash what they do here', () => {
  const device = new EmulatedDevice({ samplesPerSecond: 100, overheadMs: 5, jitter: 0.2 }, even);
  const measured = ['a', 'b'].map((block) => ({ block, microbatch: 20, forwardMs: 1, backwardMs: 1, inputGradientMs: 1, stashBytes: 7, forwardCallMs: 1, backwardCallMs: 1, recomputeMs: 1 }));
  const timings = device.profile(measured, new Map([['a', 0.25], ['b', 0.75]]));
  const sum = (of: (timing: (typeof timings)[number]) => number) => timings.reduce((total, timing) => total + of(timing), 0);
  // Two blocks in one call.
  expect(sum(({ forwardMs }) => forwardMs) - timings[0]!.forwardCallMs).toBeCloseTo(device.passMs(20, 1 / 3));
  expect(sum(({ backwardMs }) => backwardMs) - timings[0]!.backwardCallMs).toBeCloseTo(device.passMs(20, 2 / 3));
  expect(timings.map(({ recomputeMs }) => recomputeMs)).toEqual(timings.map(({ forwardMs }) => forwardMs));
  expect(timings.map(({ stashBytes }) => stashBytes)).toEqual([7, 7]);
});
