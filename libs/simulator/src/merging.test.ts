import { createRng, layOut, type Job } from '@longtail/core';
import { epochOrder } from '@longtail/data';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { VirtualModel } from './model.js';
import type { Outcome } from './scenario.js';
import { simulate } from './simulate.js';
import { job } from './testing/scenarios.js';

const SAMPLES = 240;
const WIDTH = 20;
const LEARNING_RATE = 0.125;
const sgd = { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 } as const;

const rng = createRng('merging');
const gradients = Array.from({ length: SAMPLES }, () => Float64Array.from({ length: WIDTH }, () => rng.normal()));
const stats = (samples: number) => ({ samples, targets: samples, lossSum: samples, correct: 0 });

/** The gradient of a sample is its own vector wherever the parameters are: what a run did to them says what each sample weighed. */
const linear: VirtualModel = {
  layout: layOut([{ name: 'values', shape: [WIDTH] }]),
  trainSamples: SAMPLES,
  validationSamples: 4,
  initial: () => new Float32Array(WIDTH),
  gradient(_parameters, samples, out) {
    out.fill(0);
    for (const sample of samples) gradients[sample]!.forEach((value, i) => (out[i] = out[i]! + value));
    return stats(samples.length);
  },
  evaluate: (_parameters, _split, start, end) => stats(end - start),
};

const fleets = fc.array(fc.integer({ min: 100, max: 2000 }), { minLength: 2, maxLength: 5 });

function train(speeds: readonly number[], batch: number, sync: Partial<Job['sync']>): Promise<Outcome> {
  const recipe = { batch, epochs: 1, optimizer: sgd, learningRate: LEARNING_RATE, schedule: { type: 'constant' } } as const;
  const fleet = speeds.map((samplesPerSecond, i) => ({ name: `w${i}`, samplesPerSecond }));
  return simulate({ job: job({ train: recipe, sync, cluster: { minWorkers: speeds.length } }), model: linear, fleet, seed: 1, chunkLength: WIDTH });
}

/** Parameters after commits in which each sample weighed so much. */
function expected({ ledger }: Outcome, weightOf: (samples: number, ofItsWorker: number) => number): Float64Array {
  const out = new Float64Array(WIDTH);
  const order = epochOrder(SAMPLES, 3, 0);
  for (const { leases } of ledger) {
    const samples = leases.reduce((sum, lease) => sum + lease.samples, 0);
    for (const { holder, ranges } of leases) {
      const own = leases.reduce((sum, lease) => sum + (lease.holder === holder ? lease.samples : 0), 0);
      const weight = LEARNING_RATE * weightOf(samples, own);
      for (const sample of ranges.flatMap((range) => [...order.indices(range)])) gradients[sample]!.forEach((value, i) => (out[i] = out[i]! - weight * value));
    }
  }
  return out;
}

function expectClose(actual: Float32Array, wanted: Float64Array): void {
  const scale = Math.max(...wanted.map(Math.abs));
  actual.forEach((value, i) => expect(Math.abs(value - wanted[i]!)).toBeLessThan(1e-5 * scale));
}

test('gradients: every sample weighs the same, whoever computed it, however unequal the shares and however few are left for a batch', () =>
  fc.assert(
    fc.asyncProperty(fleets, fc.integer({ min: 7, max: 90 }), async (speeds, batch) => {
      const outcome = await train(speeds, batch, { strategy: 'bsp' });
      expect(outcome.leases).toMatchObject({ applied: SAMPLES, lost: 0 });
      expectClose(outcome.parameters, expected(outcome, () => 1 / batch));
    }),
    { numRuns: 10 },
  ));

test('local steps: a commit moves as the mean over its samples of the groups’ moves, however many steps each took', () =>
  fc.assert(
    fc.asyncProperty(fleets, fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 6 }), async (speeds, batch, localSteps) => {
      const outer = { learningRate: 1, momentum: 0 };
      const outcome = await train(speeds, batch, { strategy: 'diloco', localSteps, outer });
      expect(outcome.leases).toMatchObject({ applied: SAMPLES, lost: 0 });
      // A group's move is a mean of `batch` samples for each step, of fewer their part of it; it counts own / samples.
      expectClose(outcome.parameters, expected(outcome, (samples, own) => own / samples / batch));
    }),
    { numRuns: 10 },
  ));
