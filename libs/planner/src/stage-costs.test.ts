import type { DeviceProfile, ModelProfile } from '@longtail/core';
import { expect, test } from 'vitest';
import { StageCosts } from './stage-costs.js';

const block = (name: string) => ({ name, parameters: 1, tied: [], forwardFlops: 1e6, backwardFlops: 2e6, outputBytes: 4, stashBytes: 4, cutAfter: true });
const profile: ModelProfile = { name: 'three', inputBytes: 4, blocks: ['a', 'b', 'c'].map(block) };
const costs = new StageCosts(profile, {
  batch: 8,
  stepsPerRound: 1,
  microbatches: [2],
  stateBytesPerParameter: 0,
  upBitsPerValue: 32,
  downBitsPerValue: 32,
  activationBits: 32,
  recompute: 'allowed',
  schedule: 'capped-1f1b',
  workspaceBytes: 0,
});
const device: DeviceProfile = { id: 'd', name: 'd', flopsPerSecond: 1e9, memoryBytes: 1e9, upBitsPerSecond: 1e9, downBitsPerSecond: 1e9, roundTripMs: 1 };
const measured: DeviceProfile = {
  ...device,
  handOverMs: 0.25,
  blockTimes: [
    { microbatch: 1, forwardMs: [2, 3, 4], backwardMs: [4, 6, 8], forwardCallMs: 1, backwardCallMs: 2 },
    { microbatch: 4, forwardMs: [5, 9, 13], backwardMs: [10, 18, 26], forwardCallMs: 1, backwardCallMs: 2 },
  ],
};

test('a stage of several blocks pays for one call, and for none to compute its forward pass again', () => {
  expect(costs.workMs(measured, 0, 2, 1, false)).toEqual({ forwardMs: 1 + 2, backwardMs: 2 + 4 });
  expect(costs.stageMs(measured, 0, 2, 1, false)).toEqual({ forwardMs: 1 + 3, backwardMs: 2 + 6 });
  expect(costs.stageMs(measured, 0, 2, 1, true)).toEqual({ forwardMs: 4, backwardMs: 8 + 3 });
});

test('computing again takes as long as was measured, without another call', () => {
  const [one, four] = measured.blockTimes!;
  const again = { ...measured, blockTimes: [{ ...one!, recomputeMs: [2, 2, 3] }, { ...four!, recomputeMs: [5, 5, 9] }] };
  expect(costs.recomputeMs(again, 0, 3, 1)).toBe(1 + 1 + 2);
  expect(costs.recomputeMs(again, 0, 2, 2)).toBeCloseTo(2 + (1 / 3) * 6, 9);
  expect(costs.stageMs(again, 0, 2, 1, true)).toEqual({ forwardMs: 4, backwardMs: 8 + 2 });
  expect(costs.stageMs(again, 0, 2, 1, false)).toEqual(costs.stageMs(measured, 0, 2, 1, false));
  expect(costs.recomputeMs(device, 0, 2, 2)).toBe(4);
});

test('the half of a backward pass that goes on to the stage before takes the part that was measured, else half', () => {
  const [one, four] = measured.blockTimes!;
  const halves = { ...measured, blockTimes: [{ ...one!, inputGradientMs: [1, 3, 2] }, { ...four!, inputGradientMs: [8, 6, 13] }] };
  expect(costs.inputGradientPart(halves, 1, 3, 1)).toBe(5 / 14);
  expect(costs.inputGradientPart(halves, 1, 2, 2)).toBe(6 / 18);
  expect(costs.inputGradientPart(halves, 2, 3, 16)).toBe(13 / 26);
  expect(costs.inputGradientPart(halves, 0, 2, 1), 'the first stage').toBe(0);
  expect(costs.inputGradientPart(measured, 0, 2, 1)).toBe(0.5);
  expect(costs.inputGradientPart(device, 0, 2, 1)).toBe(0.5);
});

test('passes of a stage are handed over, those of a whole model are not', () => {
  expect(costs.passMs(measured, 1, 3, 1, false)).toEqual({ forwardMs: 0.25 + 1 + 5, backwardMs: 0.25 + 2 + 10 });
  expect(costs.passMs(measured, 0, 3, 1, false)).toEqual(costs.stageMs(measured, 0, 3, 1, false));
  expect(costs.passMs({ ...device, handOverMs: 0.5 }, 0, 1, 2, false)).toEqual({ forwardMs: 2.5, backwardMs: 4.5 });
});

test('a whole model whose blocks were not measured pays for its call once, there and back', () => {
  const described = { ...device, handOverMs: 0.5, callMs: 0.25 };
  const { forwardMs, backwardMs } = costs.stageMs(device, 0, 3, 1, false);
  expect(costs.passMs(described, 0, 3, 1, false)).toEqual({ forwardMs, backwardMs: backwardMs + 0.25 });
  expect(costs.passMs(described, 0, 1, 2, false)).toEqual({ forwardMs: 2.5, backwardMs: 4.5 });
  expect(costs.passMs({ ...measured, callMs: 0.25 }, 0, 3, 1, false)).toEqual(costs.stageMs(measured, 0, 3, 1, false));
});

test('between sizes along the line, beyond the largest in proportion; a call takes as long at any', () => {
  expect(costs.stageMs(measured, 0, 1, 2, false).forwardMs).toBeCloseTo(3, 9);
  expect(costs.stageMs(measured, 0, 1, 8, false).forwardMs).toBeCloseTo(1 + 2 * 4, 9);
});
