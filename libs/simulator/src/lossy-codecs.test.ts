import type { CodecName, Job } from '@longtail/core';
import { expect, test } from 'vitest';
import { softmaxRegression, type VirtualModel } from './model.js';
import type { Outcome, Scenario, SimulatedWorker } from './scenario.js';
import { simulate } from './simulate.js';
import { eventsOf, job, scenario, unequalFleet } from './testing/scenarios.js';

const model = softmaxRegression({ features: 30, classes: 12, trainSamples: 900, validationSamples: 150, seed: 9 });
const topK = { density: 0.1, values: 'int2', selection: 'exact' } as const;
const sgd = { type: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 0 } as const;

interface Changes {
  readonly sync: Partial<Job['sync']>;
  readonly epochs?: number;
  readonly fleet?: readonly SimulatedWorker[];
  readonly faults?: Scenario['faults'];
}

/** How often each vector of parameters was met. */
class Seen extends Map<string, number> {
  note(parameters: Float32Array): void {
    const bits = Buffer.from(parameters.slice().buffer).toString('base64');
    this.set(bits, (this.get(bits) ?? 0) + 1);
  }
}

/** Notes what gradients are taken at, and what is evaluated. */
function watched(seen: Seen, evaluated: Seen): VirtualModel {
  return {
    ...model,
    gradient(parameters, samples, out) {
      seen.note(parameters);
      return model.gradient(parameters, samples, out);
    },
    evaluate(parameters, split, start, end) {
      evaluated.note(parameters);
      return model.evaluate(parameters, split, start, end);
    },
  };
}

async function train({ sync, epochs = 6, fleet = unequalFleet, faults }: Changes): Promise<Outcome & { seen: Seen; evaluated: Seen }> {
  const [seen, evaluated] = [new Seen(), new Seen()];
  const minWorkers = fleet.filter(({ joinAtMs }) => joinAtMs === undefined).length;
  const recipe = job({ train: { optimizer: sgd, epochs, learningRate: 0.02 }, sync, cluster: { minWorkers } });
  return { ...(await simulate(scenario({ model: watched(seen, evaluated), job: recipe, fleet, faults, chunkLength: 100 }))), seen, evaluated };
}

function lastLoss({ events }: Outcome): number {
  return eventsOf(events, 'validation').at(-1)!.loss;
}

function bytes({ events }: Outcome, direction: 'bytesUp' | 'bytesDown'): number {
  return eventsOf(events, 'contribution').reduce((sum, event) => sum + event[direction], 0);
}

const CODECS: readonly [CodecName, number][] = [
  ['int8', 1.001],
  ['int4', 1.01],
  ['int2', 1.03],
  ['sign', 1.1],
  ['top-k', 1.03],
];

test.each(CODECS)('%s up and down learns what float32 does, to a factor of %d, and every worker holds the same bits', async (codec, factor) => {
  const whole = await train({ sync: {} });
  const coded = await train({ sync: { codec, downCodec: codec, topK } });
  expect(coded.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 5400, lost: 0 } });
  expect(lastLoss(coded)).toBeLessThan(factor * lastLoss(whole));
  expect([...coded.seen.values()]).toEqual(new Array(coded.steps).fill(4));
  expect(bytes(coded, 'bytesUp')).toBeLessThan(0.5 * bytes(whole, 'bytesUp'));
});

test('who comes late, misses rounds on a slow link or goes holds the bits of the others all the same', async () => {
  const fleet: readonly SimulatedWorker[] = [
    { name: 'a', samplesPerSecond: 1000 },
    { name: 'b', samplesPerSecond: 600 },
    { name: 'slow', samplesPerSecond: 500, link: { upBitsPerSecond: 2e4, downBitsPerSecond: 2e4, rttMs: 300 } },
    { name: 'late', samplesPerSecond: 900, joinAtMs: 1500 },
  ];
  const outcome = await train({
    sync: { codec: 'int8', downCodec: 'int2', minDeadlineMs: 50, deadlineFactor: 1.2 },
    epochs: 12,
    fleet,
    faults: [{ kind: 'kill', worker: 'b', atMs: 3000 }],
  });
  expect(outcome.verdict).toMatchObject({ status: 'succeeded' });
  const contributions = eventsOf(outcome.events, 'contribution');
  expect(contributions.some(({ name, accepted }) => name === 'slow' && !accepted)).toBe(true);
  expect(contributions.some(({ name, accepted }) => name === 'late' && accepted)).toBe(true);
  expect(outcome.fired.size).toBe(1);
  expect(outcome.seen.size).toBe(outcome.steps);
});

test('who comes after the quorum is sent what it missed as differences, like everybody else', async () => {
  const far = { upBitsPerSecond: 3e3, downBitsPerSecond: 1e6, rttMs: 40 };
  const fleet: readonly SimulatedWorker[] = [...unequalFleet.slice(0, 3), { name: 'far', samplesPerSecond: 1000, link: far }];
  const sync = { strategy: 'diloco', localSteps: 5, quorum: 0.75, codec: 'int8', downCodec: 'int8' } as const;
  const outcome = await train({ sync, epochs: 12, fleet });
  expect(outcome.verdict).toMatchObject({ status: 'succeeded' });
  const ofNode = (node: string) => eventsOf(outcome.events, 'contribution').filter(({ name }) => name === node);
  const down = (node: string) => ofNode(node).reduce((sum, { bytesDown }) => sum + bytesDown, 0);
  expect(ofNode('far').filter(({ accepted }) => !accepted).length).toBeGreaterThan(5);
  expect(down('far')).toBeLessThan(1.05 * down('a'));
});

test.each([
  ['ssp', { strategy: 'ssp', codec: 'int8', downCodec: 'int4' }],
  ['asp', { strategy: 'asp', codec: 'int4', downCodec: 'int8' }],
  ['diloco', { strategy: 'diloco', localSteps: 3, codec: 'top-k', downCodec: 'int8', topK }],
  ['streaming-diloco', { strategy: 'streaming-diloco', localSteps: 4, fragments: 2, codec: 'int4', downCodec: 'int8' }],
  ['diloco with a quorum', { strategy: 'diloco', localSteps: 3, quorum: 0.5, codec: 'sign', downCodec: 'int2' }],
] as const)('under %s workers at different versions follow to the same bits', async (_name, sync) => {
  const outcome = await train({ sync, epochs: 12 });
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 10_800, lost: 0 } });
  const validations = eventsOf(outcome.events, 'validation');
  expect(validations.at(-1)!.loss).toBeLessThan(0.5 * validations[0]!.loss);
  expect(outcome.evaluated.size).toBe(validations.length);
  expect([...outcome.evaluated.values()].every((workers) => workers === 4)).toBe(true);
});

test('a worker that is alone for a while steps in float32, and a view begins anew where others join it', async () => {
  const fleet = [
    { name: 'a', samplesPerSecond: 1000 },
    { name: 'b', samplesPerSecond: 800, joinAtMs: 2500 },
    { name: 'c', samplesPerSecond: 800, joinAtMs: 4000 },
  ];
  const outcome = await train({ sync: { codec: 'sign', downCodec: 'int4' }, epochs: 12, fleet });
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 10_800, lost: 0 } });
  const local = eventsOf(outcome.events, 'commit').filter(({ reason }) => reason.includes('local steps'));
  expect(local.length).toBeGreaterThan(0);
  expect(outcome.seen.size).toBe(outcome.steps);
});

test('down, int8 takes about a quarter of what float32 takes', async () => {
  const [whole, coded] = [await train({ sync: {} }), await train({ sync: { downCodec: 'int8' } })];
  expect(bytes(coded, 'bytesDown')).toBeLessThan(0.6 * bytes(whole, 'bytesDown'));
  expect(bytes(coded, 'bytesUp')).toBeGreaterThan(0.95 * bytes(whole, 'bytesUp'));
});

test('a gradient that is not finite ends the run as diverged, whatever the codec', async () => {
  const broken: VirtualModel = {
    ...model,
    gradient(parameters, samples, out) {
      const stats = model.gradient(parameters, samples, out);
      out[5] = NaN;
      return stats;
    },
  };
  const recipe = job({ sync: { codec: 'int8' }, cluster: { minWorkers: 4 } });
  const { verdict } = await simulate(scenario({ model: broken, job: recipe, chunkLength: 100 }));
  expect(verdict).toMatchObject({ status: 'failed', error: { code: 'diverged' } });
});
