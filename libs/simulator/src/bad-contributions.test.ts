import { expect, test } from 'vitest';
import type { Fault, Tampering } from './faults.js';
import { simulate } from './simulate.js';
import { countingArithmetic, countingModel } from './testing/counting.js';
import { eventsOf, job, scenario, unequalFleet } from './testing/scenarios.js';

const EPOCHS = 4;
const SAMPLES = 240;

/** Parameters that count how often each sample was applied: a bad contribution that had any effect would show. */
function counted(faults: readonly Fault[], sync: { maxNorm?: number } = {}, fleet = unequalFleet) {
  return simulate(
    scenario({
      fleet,
      job: job({
        cluster: { minWorkers: fleet.length },
        train: { epochs: EPOCHS, optimizer: { type: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 } },
        sync,
      }),
      model: countingModel(SAMPLES, 30),
      arithmetic: countingArithmetic,
      chunkLength: 64,
      faults,
    }),
  );
}

const refusals: readonly (readonly [Tampering, RegExp])[] = [
  ['nan', /holds non-finite values/],
  ['huge', /norm .* exceeds the bound/],
  ['truncated', /chunk 1: .*bytes/],
  ['misshapen', /covers 64 values from 65, expected 64 from 64/],
  ['stale', /based on version 1, the task on 2/],
  ['wrong-codec', /codec 1 instead of 0/],
  ['wrong-worker', /worker 1 of the group is another node/],
];

test.each(refusals)('a contribution with a chunk that is %s changes nothing and gets a receipt', async (how, reason) => {
  const fault: Fault = { kind: 'tamper', worker: 'b', round: 3, chunk: 1, how };
  const outcome = await counted([fault], how === 'huge' ? { maxNorm: 100 } : {});
  expect(outcome.fired).toContain(fault);
  expect(new Set(outcome.parameters)).toEqual(new Set([EPOCHS]));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: EPOCHS * SAMPLES, lost: 0 } });
  const refused = eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted);
  expect(refused).toMatchObject([{ name: 'b', round: 3, reason: expect.stringMatching(reason) as string }]);
  expect(eventsOf(outcome.events, 'lease_returned')).toMatchObject([{ samples: refused[0]!.samples }]);
  const receipts = outcome.workerEvents.get('b')!.filter((event) => event.event === 'receipt' && !event.accepted);
  expect(receipts).toMatchObject([{ reason: expect.stringMatching(reason) as string }]);
});

test('a lone worker is held to the bound, too', async () => {
  const fault: Fault = { kind: 'tamper', worker: 'b', round: 2, chunk: 0, how: 'huge' };
  const outcome = await counted([fault], { maxNorm: 100 }, [{ name: 'b', samplesPerSecond: 600 }]);
  expect(outcome.fired).toContain(fault);
  expect(new Set(outcome.parameters)).toEqual(new Set([EPOCHS]));
  const refused = eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted);
  expect(refused).toMatchObject([{ round: 2, reason: expect.stringMatching(/norm .* exceeds the bound/) as string }]);
});

test.each([
  ['wrong-task', /belongs to|is not open/],
  ['wrong-run', /run another is not the run run-1/],
] as const)('a chunk of %s is told so; its own task misses it and goes to others', async (how, reason) => {
  const fault: Fault = { kind: 'tamper', worker: 'b', round: 3, chunk: 1, how };
  const outcome = await counted([fault]);
  expect(outcome.fired).toContain(fault);
  expect(new Set(outcome.parameters)).toEqual(new Set([EPOCHS]));
  const [told, missed] = outcome.workerEvents.get('b')!.filter((event) => event.event === 'receipt' && !event.accepted);
  expect(told).toMatchObject({ reason: expect.stringMatching(reason) as string });
  expect(missed).toMatchObject({ reason: expect.stringMatching(/missed the deadline/) as string });
});

test('when nobody delivers whole in the first round, who is done and falls silent is not waited for', async () => {
  const faults = ['a', 'b', 'c', 'd'].map((worker): Fault => ({ kind: 'tamper', worker, round: 1, chunk: 1, how: 'wrong-task' }));
  const outcome = await counted(faults);
  expect(outcome.fired).toEqual(new Set(faults));
  expect(new Set(outcome.parameters)).toEqual(new Set([EPOCHS]));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: EPOCHS * SAMPLES, lost: 0 } });
  const missed = eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted);
  expect(missed.map(({ round, name }) => `${round} ${name}`).sort()).toEqual(['1 a', '1 b', '1 c', '1 d']);
  for (const { reason } of missed) expect(reason).toMatch(/nothing came for 60 s/);
});

test('a chunk that comes twice counts once, and the sender is told', async () => {
  const fault: Fault = { kind: 'tamper', worker: 'b', round: 3, chunk: 1, how: 'duplicate' };
  const outcome = await counted([fault]);
  expect(outcome.fired).toContain(fault);
  expect(new Set(outcome.parameters)).toEqual(new Set([EPOCHS]));
  expect(eventsOf(outcome.events, 'contribution').every(({ accepted }) => accepted)).toBe(true);
  const told = outcome.workerEvents.get('b')!.filter((event) => event.event === 'receipt' && !event.accepted);
  expect(told).toMatchObject([{ reason: 'chunk 1 came twice; the first counts' }]);
});

test('a chunk that fails its checksum ends the link; the worker comes back and nothing is lost', async () => {
  const fault: Fault = { kind: 'tamper', worker: 'b', round: 3, chunk: 1, how: 'corrupt' };
  const outcome = await counted([fault]);
  expect(outcome.fired).toContain(fault);
  expect(new Set(outcome.parameters)).toEqual(new Set([EPOCHS]));
  expect(eventsOf(outcome.events, 'node_left').filter(({ name }) => name === 'b')).toMatchObject([
    { reason: expect.stringMatching(/checksum/) as string },
  ]);
  expect(eventsOf(outcome.events, 'node_joined').filter(({ name }) => name === 'b')).toHaveLength(2);
  expect(outcome.verdict.status).toBe('succeeded');
});

test('a worker that sends nothing but NaN is released after three times; the others go on', async () => {
  const fault: Fault = { kind: 'poison', worker: 'b', atMs: 200 };
  const outcome = await counted([fault]);
  expect(outcome.fired).toContain(fault);
  expect(new Set(outcome.parameters)).toEqual(new Set([EPOCHS]));
  expect(outcome.verdict.status).toBe('succeeded');
  const released = outcome.workerEvents.get('b')!.find((event) => event.event === 'released');
  expect(released).toMatchObject({ reason: expect.stringMatching(/^3 tasks in a row failed, the last: .*non-finite/) as string });
});

test.each(['nan', 'truncated', 'stale'] as const)('a lone worker’s result that is %s is no version either', async (how) => {
  const fault: Fault = { kind: 'tamper', worker: 'a', round: 2, chunk: 1, how };
  const outcome = await simulate(
    scenario({
      job: job({ train: { epochs: 8, optimizer: { type: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 } } }),
      model: countingModel(SAMPLES, 30),
      arithmetic: countingArithmetic,
      fleet: [{ name: 'a', samplesPerSecond: 300 }],
      chunkLength: 64,
      faults: [fault],
    }),
  );
  expect(outcome.fired).toContain(fault);
  const counts = outcome.parameters.reduce((sum, count) => sum + count, 0);
  expect(counts).toBe(outcome.verdict.samples.applied);
  // With nobody beside it NaN means that the run diverges.
  expect(outcome.verdict.status).toBe(how === 'nan' ? 'failed' : 'succeeded');
});
