import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import type { SimulatedWorker } from './scenario.js';
import { simulate } from './simulate.js';
import { expectSameTraining, fleet, model, pipelined, three } from './testing/pipelined.js';
import { eventsOf } from './testing/scenarios.js';

const direct = fleet('abc').map((worker, i): SimulatedWorker => ({ ...worker, peers: i === 1 ? 'listens' : 'dials' }));

test('neighbours that reach each other send activations past the server', async () => {
  const run = pipelined([three], {}, { fleet: direct });
  const outcome = await simulate(run);
  expectSameTraining(run, outcome);
  const relayed = await simulate({ ...run, fleet: fleet('abc') });
  expect(outcome.parameters).toEqual(relayed.parameters);
  expect(outcome.verdict.bytes.up).toBeLessThan(0.8 * relayed.verdict.bytes.up);
  // The verdict names it apart: five values a sample over two cuts, there and back, and there at most for each validated one.
  const passed = 4 * 5 * 2 * 2 * run.job.train.epochs * model.trainSamples;
  const validated = eventsOf(outcome.events, 'validation').length * model.validationSamples;
  expect(outcome.verdict.bytes.direct).toBeGreaterThan(passed);
  expect(outcome.verdict.bytes.direct).toBeLessThanOrEqual(passed + 4 * 5 * 2 * validated);
  expect(relayed.verdict.bytes.direct).toBe(0);
  // Contributions count it all the same.
  for (const way of ['bytesUp', 'bytesDown'] as const) {
    const counted = eventsOf(outcome.events, 'contribution').reduce((sum, contribution) => sum + contribution[way], 0);
    const server = outcome.verdict.bytes[way === 'bytesUp' ? 'up' : 'down'];
    expect(counted).toBeGreaterThan(passed + server / 2);
    expect(counted).toBeLessThanOrEqual(passed + server);
  }
});

test('when direct links break in mid-round, tensors go through the server and none is missed', async () => {
  const faults = [320, 333, 341, 357].map((atMs): Fault => ({ kind: 'cut-peers', worker: 'b', atMs }));
  for (const fault of faults) {
    const run = pipelined([three], { train: { epochs: 3 } }, { fleet: direct, faults: [fault] });
    const outcome = await simulate(run);
    expectSameTraining(run, outcome);
    expect(eventsOf(outcome.events, 'contribution').every(({ accepted }) => accepted)).toBe(true);
  }
});
