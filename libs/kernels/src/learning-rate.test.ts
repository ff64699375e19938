import type { LearningRateSchedule } from '@longtail/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { learningRateAt } from './learning-rate.js';

function rates(schedule: LearningRateSchedule, steps: number): number[] {
  return Array.from({ length: steps }, (_, step) => learningRateAt(schedule, 1, step, steps));
}

describe('learningRateAt', () => {
  it('keeps a constant rate', () => {
    expect(rates({ type: 'constant' }, 3)).toEqual([1, 1, 1]);
  });

  it('warms up, then falls in a line to the floor', () => {
    const expected = [0.25, 0.5, 0.75, 1, 1, 0.9, 0.8, 0.7, 0.6, 0.5];
    const actual = rates({ type: 'linear', warmup: 0.4, floor: 0.5 }, 10);
    actual.forEach((rate, step) => expect(rate).toBeCloseTo(expected[step]!, 12));
  });

  it('falls along half a cosine', () => {
    const actual = rates({ type: 'cosine', warmup: 0, floor: 0 }, 5);
    [1, 0.5 + Math.SQRT1_2 / 2, 0.5, 0.5 - Math.SQRT1_2 / 2, 0].forEach((rate, step) => expect(actual[step]).toBeCloseTo(rate, 12));
  });

  it('stays at the floor when a run goes on past its end', () => {
    expect(learningRateAt({ type: 'cosine', warmup: 0.1, floor: 0.1 }, 2, 500, 100)).toBeCloseTo(0.2, 12);
  });

  it('stays between 0 and the base rate, rises in warm-up and falls after', () => {
    const schedule = fc.record({
      type: fc.constantFrom('cosine' as const, 'linear' as const),
      warmup: fc.double({ min: 0, max: 1, noNaN: true }),
      floor: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(schedule, fc.integer({ min: 1, max: 60 }), (schedule, steps) => {
        const warmupSteps = Math.round(schedule.warmup * steps);
        rates(schedule, steps).forEach((rate, step, all) => {
          expect(rate).toBeGreaterThan(step < warmupSteps ? 0 : -1e-12);
          expect(rate).toBeLessThanOrEqual(1 + 1e-12);
          if (step === 0) return;
          if (step < warmupSteps) expect(rate).toBeGreaterThan(all[step - 1]!);
          else expect(rate).toBeLessThanOrEqual(step === warmupSteps ? 1 + 1e-12 : all[step - 1]! + 1e-12);
        });
      }),
    );
  });
});
