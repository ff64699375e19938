import { LongtailError, type BatchStats, type Job } from '@longtail/core';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import type { BegunGradient, VirtualModel } from './model.js';
import type { Outcome } from './scenario.js';
import { simulate } from './simulate.js';
import { job, model, scenario, unequalFleet } from './testing/scenarios.js';

/** Computes when a task begins, and has the results when the last one that was begun is asked for long. */
function beside(inner: VirtualModel) {
  const count = { begun: 0, taken: 0, dropped: 0 };
  const beginGradient = (parameters: Float32Array, samples: () => Int32Array): BegunGradient => {
    count.begun++;
    const gradient = new Float32Array(parameters.length);
    const computed = (async () => inner.gradient(parameters, samples(), gradient))();
    computed.catch(() => undefined);
    return {
      async take(out): Promise<BatchStats> {
        count.taken++;
        await new Promise(setImmediate);
        const stats = await computed;
        out.set(gradient);
        return stats;
      },
      dropUnless: (passed) => void passed.catch(() => count.dropped++),
    };
  };
  return { count, model: { ...inner, beginGradient } satisfies VirtualModel };
}

const STRATEGIES: Readonly<Record<string, Partial<Job['sync']>>> = {
  bsp: { strategy: 'bsp' },
  asp: { strategy: 'asp' },
  diloco: { strategy: 'diloco', localSteps: 5 },
  'streaming-diloco': { strategy: 'streaming-diloco', localSteps: 5, fragments: 2 },
};

function train(sync: Partial<Job['sync']>, virtual: VirtualModel, faults: readonly Fault[] = []): Promise<Outcome> {
  const recipe = { batch: 20, epochs: 2, learningRate: 0.02 };
  return simulate(scenario({ job: job({ train: recipe, sync, cluster: { minWorkers: 4 } }), fleet: unequalFleet, model: virtual, faults }));
}

const told = ({ events, parameters, virtualMs, workerEnds }: Outcome) => ({ events, parameters, virtualMs, workerEnds });

test.each(Object.keys(STRATEGIES))('%s: computed while its task lasts or when that is over, a gradient comes to the same events and bits', async (name) => {
  const faults: Fault[] = [
    { kind: 'restart', worker: 'b', atMs: 150, forMs: 50 },
    { kind: 'fail', worker: 'c', atMs: 200 },
    { kind: 'pause', worker: 'd', atMs: 250, forMs: 50 },
  ];
  const { model: begins, count } = beside(model);
  const outcome = await train(STRATEGIES[name]!, begins, faults);
  expect(told(outcome)).toEqual(told(await train(STRATEGIES[name]!, model, faults)));
  expect(outcome.fired).toEqual(new Set(faults));
  expect(count.dropped).toBeGreaterThan(0);
  expect(count.begun).toBe(count.taken + count.dropped);
});

const wobble = (samples: Int32Array): void => {
  if (samples.includes(17)) throw new LongtailError('no operation Wobble', { code: 'engine' });
};

test.each(Object.keys(STRATEGIES))('%s: arithmetic that fails is heard of when its task is over, whether it throws or rejects', async (name) => {
  const throws: VirtualModel = {
    ...model,
    gradient(parameters, samples, ...others) {
      wobble(samples);
      return model.gradient(parameters, samples, ...others);
    },
  };
  const rejects: VirtualModel = { ...model, gradient: async (...of) => throws.gradient(...of) };
  const rejected = told(await train(STRATEGIES[name]!, rejects));
  expect(told(await train(STRATEGIES[name]!, beside(rejects).model))).toEqual(rejected);
  expect(told(await train(STRATEGIES[name]!, throws))).toEqual(rejected);
  expect(JSON.stringify(rejected.events)).toContain('no operation Wobble');
});
