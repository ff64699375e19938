import type { BenchArm, BenchSummary } from '@longtail/core';
import { expect, test } from 'vitest';
import { accuracyOf, comparePredictions, kendallTau } from './predictions.js';

const arm = (name: string, wallMs: number, utilisation: number): BenchArm => {
  const summary = { wallMs, rounds: 10, samplesPerSecond: 1e6 / wallMs, utilisation, bytesUpPerNode: 50, bytesDownPerNode: 0 } as BenchSummary;
  return { name, settings: {}, seed: 1, outcome: { status: 'done', summary, bottleneck: '', loss: [], nodes: [], spans: [], utilisation: { windowMs: 1, rows: [] } } };
};

test('each figure is off by its part of what was live; arms that ran in one mode only, and figures that neither has, are left out', () => {
  const refused: BenchArm = { ...arm('c', 1, 1), outcome: { status: 'refused', reason: 'no' } };
  const found = comparePredictions({ arms: [arm('a', 1000, 0.5), arm('c', 1, 1)], predicted: [arm('a', 1100, 0.4), refused] });
  expect(found.map(({ arm: name, figure, error }) => [name, figure, Number(error.toFixed(3))])).toEqual([
    ['a', 'round ms', 0.1],
    ['a', 'samples/s', -0.091],
    ['a', 'busy', -0.2],
    ['a', 'bytes up', 0],
  ]);
});

test('over all arms: the mean error of a round, and whether their order is that of the samples a second', () => {
  const [fast, slow, slower] = [arm('a', 1000, 1), arm('b', 2000, 1), arm('c', 3000, 1)];
  expect(accuracyOf(comparePredictions({ arms: [fast, slow, slower], predicted: [{ ...arm('a', 1100, 1) }, slower, slow] }))).toEqual({
    meanError: expect.closeTo((0.1 + 0.5 + 1 / 3) / 3),
    tau: expect.closeTo(1 / 3),
  });
  expect(accuracyOf(comparePredictions({ arms: [fast] }))).toBeUndefined();
});

test("Kendall's tau", () => {
  expect(kendallTau([1, 2, 3, 4], [10, 20, 30, 40])).toBe(1);
  expect(kendallTau([1, 2, 3, 4], [4, 3, 2, 1])).toBe(-1);
  expect(kendallTau([1, 2, 3, 4], [1, 2, 4, 3])).toBeCloseTo(2 / 3);
});
