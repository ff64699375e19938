import { expect, test } from 'vitest';
import { LearningRecord } from './learning-record.js';

const place = { run: 'r', round: 1, version: 1, batch: 10, samplesApplied: 0, samplesPerEpoch: 100, nowMs: 0 };
const sums = (samples: number, loss: number) => ({
  samples,
  targets: samples,
  lossSum: loss * samples,
  correct: 0,
  learningRate: 1,
  gradientNorm: 0,
  reason: '',
});

test('the training loss counts a commit by its batches: ten steps in one weigh what ten commits do', () => {
  const [one, ten] = [new LearningRecord(), new LearningRecord()];
  for (const record of [one, ten]) record.commit(sums(10, 2), place);
  one.commit(sums(100, 1), place);
  for (let i = 0; i < 10; i++) ten.commit(sums(10, 1), place);
  expect(one.metrics.train_loss).toBeCloseTo(ten.metrics.train_loss!, 12);
  expect(one.metrics.train_loss).toBeLessThan(1.4);
});

test('local steps count towards the fraction done as they are reported, until they are committed', () => {
  const record = new LearningRecord();
  const leases = (applied: number) => ({ totals: () => ({ total: 100, applied, lost: 0, leased: 0, free: 0 }) }) as never;
  record.progress({ samples: 30, targets: 30, lossSum: 60 });
  expect(record.fraction(leases(10))).toBe(0.4);
  expect(record.metrics.train_loss).toBe(2);
  record.commit(sums(40, 1), place);
  expect(record.fraction(leases(50))).toBe(0.5);
});

test('a validation is due at the next multiple ahead, even when several were passed at once', () => {
  const record = new LearningRecord();
  expect(record.validationDueAt).toBe(Infinity);
  record.planValidation(50, 0);
  expect(record.validationDueAt).toBe(50);
  record.planValidation(50, 170);
  expect(record.validationDueAt).toBe(200);
});
