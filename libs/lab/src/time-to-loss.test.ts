import type { BenchLossPoint } from '@longtail/core';
import { expect, test } from 'vitest';
import { timeToLoss } from './time-to-loss.js';

const points = (kind: BenchLossPoint['kind'], ...losses: readonly number[]) => losses.map((loss, i): BenchLossPoint => ({ kind, loss, timeMs: 1000 * (i + 1), samples: 10 * (i + 1), bytes: 0 }));

test('between two validations; from the first one on where that is low enough, and never where none is', () => {
  const curve = points('validation', 1, 0.5, 0.4);
  expect(timeToLoss(curve, 0.75)).toBe(1500);
  expect(timeToLoss([...points('training', 0.1, 0.1), ...curve], 0.5)).toBe(2000);
  expect(timeToLoss(curve, 2)).toBe(1000);
  expect(timeToLoss(curve, 0.3)).toBeUndefined();
});

test('one validation, at the end of a live run, does not say when: the training loss does, without its noise', () => {
  const training = points('training', ...Array.from({ length: 100 }, (_, i) => 2 - 0.01 * i + (i % 2 === 0 ? 0.3 : -0.3)));
  const end = points('validation', 0.9).map((point) => ({ ...point, timeMs: 101_000 }));
  const at = timeToLoss([...training, ...end], 1.5)!;
  // 52 rounds by the trend; the first single round as low is the 23rd.
  expect(at).toBeGreaterThan(45_000);
  expect(at).toBeLessThan(60_000);
  expect(timeToLoss([...training, ...end], 0.95)).toBeUndefined();
  expect(timeToLoss(end, 1)).toBeUndefined();
});
