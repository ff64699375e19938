import { expect, test } from 'vitest';
import type { Outcome, Scenario } from './scenario.js';
import { simulate } from './simulate.js';
import { eventsOf, job, model, scenario, unequalFleet } from './testing/scenarios.js';

const HOME = { upBitsPerSecond: 2e4, downBitsPerSecond: 1e5, rttMs: 5 };
const LAN = { upBitsPerSecond: 1e9, downBitsPerSecond: 1e9, rttMs: 0.2 };
const EPOCHS = 8;

/** Validations see bit for bit one vector each, whoever evaluates. */
async function train(link: typeof HOME, changes: Partial<Scenario> = {}): Promise<Outcome & { readonly distinct: number }> {
  const seen = new Set<string>();
  const watching: typeof model = {
    ...model,
    evaluate(parameters, split, start, end) {
      seen.add(Buffer.from(parameters.slice().buffer).toString('base64'));
      return model.evaluate(parameters, split, start, end);
    },
  };
  const fleet = unequalFleet.map((worker) => ({ ...worker, link }));
  const recipe = job({ sync: { strategy: 'auto' }, train: { epochs: EPOCHS }, cluster: { minWorkers: 4 } });
  const outcome = await simulate(scenario({ job: recipe, fleet, model: watching, probeBytes: 2 ** 14, ...changes }));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: EPOCHS * 600, lost: 0 } });
  return { ...outcome, distinct: seen.size };
}

test('on a LAN the server steps with whole gradients', async () => {
  const { events, distinct } = await train(LAN);
  const choices = eventsOf(events, 'sync');
  expect(choices[0]).toMatchObject({ strategy: 'bsp', codec: 'fp32' });
  expect(choices[0]!.exchanges.map(({ name }) => name)).toEqual(eventsOf(events, 'worker_ready').map(({ name }) => name));
  expect(eventsOf(events, 'shares').every(({ unit }) => unit === undefined)).toBe(true);
  expect(distinct).toBe(EPOCHS);
});

test('over home links workers step for themselves as often as hides their exchange, which then is a small part of their time', async () => {
  const recipe = job({ sync: { strategy: 'auto', localBatch: 60 }, train: { epochs: EPOCHS }, cluster: { minWorkers: 4 } });
  const { events, distinct } = await train(HOME, { job: recipe });
  const [choice] = eventsOf(events, 'sync');
  expect(choice).toMatchObject({ strategy: 'diloco', localBatch: 60, codec: 'int8', downCodec: 'int8' });
  expect(choice!.exchanges.every(({ hidden }) => hidden)).toBe(true);
  expect(Object.values(eventsOf(events, 'shares')[0]!.shares)).toContain(choice!.localSteps);
  expect(distinct).toBe(EPOCHS);
});

test("a local step is of a worker's part of the batch", async () => {
  const { events, distinct } = await train(HOME);
  const [choice] = eventsOf(events, 'sync');
  expect(choice).toMatchObject({ strategy: 'streaming-diloco', localBatch: 15 });
  const samples = eventsOf(events, 'contribution').map((contribution) => contribution.samples);
  expect(samples.every((count) => count % 15 === 0)).toBe(true);
  expect(samples.some((count) => count % 60 > 0)).toBe(true);
  expect(distinct).toBe(EPOCHS);
});

test('the choice is made for all who prepare, not for whoever is first', async () => {
  const recipe = job({ sync: { strategy: 'auto' }, train: { epochs: EPOCHS } });
  const { events } = await train(HOME, { job: recipe });
  expect(eventsOf(events, 'sync')[0]!.exchanges).toHaveLength(4);
});

test('links that turn out to be slow change the codec between rounds, and all workers hold the same bits', async () => {
  const { events, distinct } = await train({ upBitsPerSecond: 2e5, downBitsPerSecond: 1e6, rttMs: 1 }, { probeBytes: 0 });
  const codecs = eventsOf(events, 'sync').map(({ strategy, codec }) => `${strategy} ${codec}`);
  expect(codecs[0]).toBe('bsp fp32');
  expect(codecs.length).toBeGreaterThan(1);
  expect(codecs.every((one) => one.startsWith('bsp'))).toBe(true);
  const saved = eventsOf(events, 'contribution').map(({ bytesSaved }) => bytesSaved);
  expect([saved[0], saved.at(-1)! > 0]).toEqual([0, true]);
  expect(distinct).toBe(EPOCHS);
});

test('links that are known need no probe, and parameters count as many as they stand for', async () => {
  const choiceFor = async (changes: Partial<Scenario>) => eventsOf((await train(LAN, { probeBytes: 0, linksKnown: true, serverBitsPerSecond: 1e10, ...changes })).events, 'sync')[0]!;
  const small = await choiceFor({});
  expect(small).toMatchObject({ strategy: 'bsp', codec: 'fp32' });
  const upMs = small.exchanges[0]!.upMs;
  const large = await choiceFor({ standsFor: ({ length }) => 1e4 * length });
  expect(large.strategy).toBe('diloco');
  // 8 bits in the place of 32.
  expect(large.exchanges[0]!.upMs / upMs).toBeCloseTo(1e4 / 4, 6);
});

test('local steps and strategy change too, as long as the server steps along moves', async () => {
  const fleet = unequalFleet.map((worker) => ({ ...worker, samplesPerSecond: 10 * worker.samplesPerSecond, link: HOME }));
  const recipe = job({ sync: { strategy: 'auto' }, train: { epochs: EPOCHS }, validation: { everyEpochs: 4 }, cluster: { minWorkers: 4 } });
  const { events, distinct } = await train(HOME, { probeBytes: 0, fleet, job: recipe });
  const strategies = eventsOf(events, 'sync').map(({ strategy }) => strategy);
  expect([strategies[0], strategies.at(-1)]).toEqual(['diloco', 'streaming-diloco']);
  expect(distinct).toBe(eventsOf(events, 'validation').length);
});

test('fragments travel in turn from the first round on', async () => {
  const links = [6.3e6, 5.3e6].map((upBitsPerSecond, i) => ({ upBitsPerSecond, downBitsPerSecond: 1e6, rttMs: [6, 51][i]! }));
  const fleet = links.map((link, i) => ({ name: 'ab'[i]!, samplesPerSecond: [210, 429][i]!, link }));
  const recipe = job({ sync: { strategy: 'auto', codec: 'fp16' }, train: { epochs: 6, batch: 19 }, cluster: { minWorkers: 2 } });
  const { events, verdict } = await simulate(scenario({ job: recipe, fleet, probeBytes: 4096 }));
  expect(verdict.status).toBe('succeeded');
  expect(eventsOf(events, 'sync')[0]).toMatchObject({ strategy: 'streaming-diloco', fragments: 4 });
  const rounds = eventsOf(events, 'commit').filter(({ samples }) => samples > 0);
  expect(rounds.map(({ fragments }) => fragments!.length)).toEqual(rounds.map(() => 1));
  expect(new Set(rounds.slice(0, 4).flatMap(({ fragments }) => fragments!))).toEqual(new Set([0, 1, 2, 3]));
});
