import { expect, test } from 'vitest';
import { softmaxRegression } from './model.js';
import type { Scenario } from './scenario.js';
import { simulate } from './simulate.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';

const model = softmaxRegression({ features: 30, classes: 12, trainSamples: 900, validationSamples: 150, seed: 9 });
const adamw = { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, decoupled: true } as const;

/** One worker, then two: 300 steps. Chunks end within blocks of the state. */
function training(stateBits: 8 | 32): Scenario {
  const fleet = [
    { name: 'a', samplesPerSecond: 1000 },
    { name: 'b', samplesPerSecond: 700, joinAtMs: 5000 },
  ];
  const train = { optimizer: { ...adamw, stateBits }, epochs: 10, batch: 30, learningRate: 0.01 };
  return scenario({ model, fleet, job: job({ train }), chunkLength: 100 });
}

test('moments in 8 bits learn what moments in float32 do; the server alone has them, and saves them as they are', async () => {
  const [whole, coded] = [await simulate(training(32)), await simulate(training(8))];
  expect(coded.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 9000, lost: 0 } });
  expect(coded.steps).toBe(300);
  const [expected, losses] = [whole, coded].map(({ events }) => eventsOf(events, 'validation').map(({ loss }) => loss));
  expect(expected!.at(-1)).toBeLessThan(0.2 * expected![0]!);
  losses!.forEach((loss, i) => expect(Math.abs(loss / expected![i]! - 1)).toBeLessThan(0.01));
  expect(coded.parameters).not.toEqual(whole.parameters);

  const alone = (events: typeof coded.events) => eventsOf(events, 'commit').filter(({ reason }) => reason.includes('local steps')).length;
  expect(alone(whole.events)).toBeGreaterThan(0);
  expect(alone(coded.events)).toBe(0);
  const blocks = Math.ceil(model.layout.length / 256);
  const { state } = coded.store.checkpoints.at(-1)!;
  expect(state.map((vector) => [vector.constructor, vector.length])).toEqual(Array(2).fill([Uint8Array, model.layout.length + 4 * blocks]));
});
