import type { BenchLossPoint, BenchOutcome } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Run } from './arms.js';
import { lossCurve, shownKind } from './curve.js';
import { exampleResult } from './example-result.js';

const outcome = exampleResult({ arms: 1, seeds: 1, nodes: 1 }).arms[0].outcome as BenchOutcome;

function runOf(loss: readonly BenchLossPoint[], seed = 1): Run {
  return { seed, knob: undefined, outcome: { ...outcome, loss } };
}

function points(...losses: readonly (readonly [timeMs: number, loss: number | null])[]): BenchLossPoint[] {
  return losses.map(([timeMs, loss]) => ({ timeMs, samples: 0, bytes: 10 * timeMs, loss: loss as number, kind: 'validation' }));
}

test('one seed is drawn as it was, without what diverged', () => {
  expect(lossCurve([runOf(points([1, 4], [2, null], [3, NaN], [4, 2]))], 'validation', 'bytes')).toEqual([
    { x: 10, mean: 4, min: 4, max: 4 },
    { x: 40, mean: 2, min: 2, max: 2 },
  ]);
  expect(lossCurve([runOf([])], 'validation', 'bytes')).toEqual([]);
});

test('seeds are averaged where all of them are, each between its own points', () => {
  const curve = lossCurve([runOf(points([0, 4], [10, 2])), runOf(points([0, 6], [4, 4], [20, 0]))], 'validation', 'timeMs');
  expect(curve.map(({ x }) => x)).toEqual([0, 4, 10]);
  expect(curve.map(({ min, max }) => [min, max])).toEqual([
    [4, 6],
    [3.2, 4],
    [2, 2.5],
  ]);
  expect(curve.map(({ mean }) => mean)).toEqual([5, 3.6, 2.25]);
});

test('a curve is ordered, lies in its band and keeps its size', () => {
  const loss = fc.array(fc.tuple(fc.double({ min: 0.01, max: 100, noNaN: true }), fc.double({ min: 0, max: 50, noNaN: true })), {
    minLength: 1,
    maxLength: 900,
  });
  fc.assert(
    fc.property(fc.array(loss, { minLength: 1, maxLength: 4 }), (seeds) => {
      const runs = seeds.map((steps) => {
        let time = 0;
        return runOf(points(...steps.map(([step, value]): [number, number] => [(time += step), value])));
      });
      const curve = lossCurve(runs, 'validation', 'timeMs');
      expect(curve.length).toBeGreaterThan(0);
      expect(curve.length).toBeLessThan(1000);
      for (const [i, { x, mean, min, max }] of curve.entries()) {
        expect(min).toBeLessThanOrEqual(mean);
        expect(mean).toBeLessThanOrEqual(max);
        if (i > 0) expect(x).toBeGreaterThan(curve[i - 1].x);
      }
    }),
    { numRuns: 30 },
  );
});

test('training loss stands in where a run was hardly validated', () => {
  const twice = points([1, 4], [2, 3]);
  expect(shownKind([runOf(twice), runOf(twice)])).toBe('validation');
  expect(shownKind([runOf(twice), runOf(points([1, 4]))])).toBe('training');
});
