import type { Job } from '@longtail/core';
import { expect, test } from 'vitest';
import { chain } from './chain.js';
import type { Fault } from './faults.js';
import type { Outcome } from './scenario.js';
import { simulate } from './simulate.js';
import { countingArithmetic, countingModel, slope } from './testing/counting.js';
import { eventsOf, job, model, scenario, unequalFleet } from './testing/scenarios.js';
import { curves } from './testing/strategy-curves.js';

const HOME = { upBitsPerSecond: 1e6, downBitsPerSecond: 5e6, rttMs: 40 };
const EPOCHS = 6;
const adamw = { type: 'adam', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.01, decoupled: true } as const;

/** Six epochs of 600 samples on four unequal workers behind slow links. */
function train(sync: Partial<Job['sync']>, faults: readonly Fault[] = [], virtual = model): Promise<Outcome> {
  const recipe = { batch: 20, epochs: EPOCHS, optimizer: adamw, learningRate: 0.02 };
  return simulate(
    scenario({
      job: job({ train: recipe, sync, cluster: { minWorkers: 4 } }),
      fleet: unequalFleet.map((worker) => ({ ...worker, link: HOME })),
      model: virtual,
      faults,
    }),
  );
}

const topK = { density: 0.1, values: 'int2', selection: 'exact' } as const;
const strategies: Readonly<Record<keyof typeof curves, Partial<Job['sync']>>> = {
  bsp: { strategy: 'bsp' },
  ssp: { strategy: 'ssp', staleness: 1 },
  asp: { strategy: 'asp' },
  diloco: { strategy: 'diloco', localSteps: 10 },
  'sparse-diloco': { strategy: 'sparse-diloco', localSteps: 10, codec: 'top-k', topK },
  'streaming-diloco': { strategy: 'streaming-diloco', localSteps: 10, fragments: 2, mixing: 0 },
  'streaming-diloco, mixed': { strategy: 'streaming-diloco', localSteps: 10, fragments: 1 },
  'ssp, local steps': { strategy: 'ssp', staleness: 1, localSteps: 10 },
  'asp, local steps': { strategy: 'asp', localSteps: 10 },
};
const names = Object.keys(strategies) as (keyof typeof curves)[];

/** A model that keeps the parameters that it is evaluated with, by worker and validation. */
function watched() {
  const seen: Float32Array[] = [];
  const watching: typeof model = {
    ...model,
    evaluate(parameters, split, start, end) {
      seen.push(parameters.slice());
      return model.evaluate(parameters, split, start, end);
    },
  };
  return { watching, seen };
}

test.each(names)('%s: applies every sample once, learns as it always did, and all workers hold the same bits', async (name) => {
  const { watching, seen } = watched();
  const outcome = await train(strategies[name], [], watching);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: EPOCHS * 600, lost: 0 } });
  const losses = eventsOf(outcome.events, 'validation').map(({ loss }) => loss);
  expect(losses).toHaveLength(EPOCHS);
  // Bits may differ between processors' exponentials, curves not.
  losses.forEach((loss, i) => expect(loss, `epoch ${i + 1}`).toBeCloseTo(curves[name][i]!, 3));
  const distinct = new Set(seen.map((parameters) => Buffer.from(parameters.buffer).toString('base64')));
  expect(seen.length).toBeGreaterThan(2 * EPOCHS);
  expect(distinct.size).toBe(EPOCHS);
});

test('local steps take a small part of the bytes, and of the time behind slow links', async () => {
  const [rounds, local] = [await train(strategies.bsp), await train(strategies.diloco)];
  expect(local.verdict.bytes.up).toBeLessThan(rounds.verdict.bytes.up / 10);
  expect(local.virtualMs).toBeLessThan(rounds.virtualMs / 3);
});

test('each worker takes as many local steps as its speed allows in the time of a round', async () => {
  const { events } = await train(strategies.diloco);
  const commits = eventsOf(events, 'commit');
  const samples = new Map(eventsOf(events, 'contribution').filter(({ round }) => round === commits[2]!.round).map((event) => [event.name, event.samples]));
  expect([...samples]).toEqual([['a', 200], ['b', 120], ['c', 80], ['d', 40]]);
  expect(commits[2]!.samples).toBe(440);
});

test('local steps of a batch of their own: as many of them in the time of a round, and every sample once', async () => {
  const { events, verdict } = await train({ ...strategies.diloco, localBatch: 5 });
  expect(verdict).toMatchObject({ status: 'succeeded', samples: { applied: EPOCHS * 600, lost: 0 } });
  const commits = eventsOf(events, 'commit');
  const samples = new Map(eventsOf(events, 'contribution').filter(({ round }) => round === commits[2]!.round).map((event) => [event.name, event.samples]));
  expect([...samples]).toEqual([['a', 50], ['b', 30], ['c', 20], ['d', 10]]);
});

test('a worker that slows down in the midst of its local steps is called home, and what it did counts', async () => {
  const slow: Fault = { kind: 'slow', worker: 'b', atMs: 1400, forMs: 3000, factor: 6 };
  const { events, fired } = await train(strategies.diloco, [slow]);
  expect(fired).toContain(slow);
  const early = eventsOf(events, 'contribution').filter(({ reason }) => reason === 'called home early');
  expect(early[0]).toMatchObject({ name: 'b', accepted: true, weight: 1 });
  expect(early[0]!.samples).toBeLessThan(120);
  expect(eventsOf(events, 'lease_returned').some(({ reason }) => reason === 'called home early')).toBe(true);
});

test('streaming-diloco: nobody waits for a link, and each fragment has its turn', async () => {
  const recipe = job({
    train: { batch: 20, epochs: EPOCHS, optimizer: adamw },
    sync: { strategy: 'streaming-diloco', localSteps: 18, fragments: 3 },
    validation: { everyEpochs: EPOCHS },
    cluster: { minWorkers: 4 },
  });
  const { events } = await simulate(scenario({ job: recipe, fleet: unequalFleet.map((worker) => ({ ...worker, link: HOME })) }));
  const tasks = eventsOf(events, 'contribution').filter(({ samples }) => samples > 0);
  const later = tasks.filter(({ round }) => round > 1);
  expect(later.length).toBeGreaterThan(2 * tasks.length / 3);
  for (const { exchange, elapsedMs, computeMs } of later) {
    expect(exchange!.waitMs + exchange!.receiveMs + elapsedMs - computeMs).toBeLessThan(1e-6);
    expect(exchange!.sendMs).toBeGreaterThan(0);
    // But for each one's last.
    if (exchange!.hiddenMs !== undefined) expect(exchange!.hiddenMs).toBe(exchange!.sendMs);
  }
  expect(later.filter(({ exchange }) => exchange!.hiddenMs === undefined).length).toBeLessThanOrEqual(4);
  const commits = eventsOf(events, 'commit');
  expect(commits.slice(0, 6).map(({ fragments }) => fragments)).toEqual([[1], [2], [0], [1], [2], [0]]);
  expect(commits.at(-1)!.fragments!.length).toBeGreaterThan(1);
});

test('streaming-diloco: however unevenly devices step, nobody waits for another', async () => {
  const recipe = job({
    train: { batch: 4, epochs: 10, optimizer: adamw },
    sync: { strategy: 'streaming-diloco', localSteps: 20, fragments: 4 },
    validation: { everyEpochs: 10 },
    cluster: { minWorkers: 4 },
  });
  const { events } = await simulate(scenario({ job: recipe, fleet: unequalFleet.map(({ name, samplesPerSecond }) => ({ name, samplesPerSecond: samplesPerSecond / 10, jitter: 0.3, link: HOME })) }));
  const tasks = eventsOf(events, 'contribution');
  const wallMs = Math.max(...tasks.map(({ doneAtMs }) => doneAtMs)) - Math.min(...tasks.map(({ sentAtMs }) => sentAtMs));
  for (const { name } of unequalFleet) {
    const computeMs = tasks.reduce((sum, task) => sum + (task.name === name ? task.computeMs : 0), 0);
    expect(computeMs / wallMs, name).toBeGreaterThan(0.97);
  }
});

test.each([1, 2, 5])('streaming-diloco: each sample is in each of %i fragments exactly as often as there were epochs', async (fragments) => {
  const outcome = await simulate({
    job: job({ train: { batch: 20, epochs: 3 }, sync: { strategy: 'streaming-diloco', localSteps: 10, fragments, mixing: 0 }, cluster: { minWorkers: 4 } }),
    model: countingModel(600, 50),
    arithmetic: countingArithmetic,
    fleet: unequalFleet.map((worker) => ({ ...worker, link: HOME })),
    seed: 1,
    chunkLength: 64,
  });
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 1800, lost: 0 } });
  expect(new Set(outcome.parameters)).toEqual(new Set([-3]));
});

test('streaming-diloco: a group that takes less than a step a round holds up nobody, and brings home every fragment', async () => {
  const link = { upBitsPerSecond: 1e7, downBitsPerSecond: 5e7, rttMs: 10 };
  const fleet = [1000, 1000, 100].map((samplesPerSecond, i) => ({ name: 'abc'[i]!, samplesPerSecond, link }));
  const { verdict, events, parameters } = await simulate({
    job: job({
      train: { batch: 20, epochs: 10 },
      sync: { strategy: 'streaming-diloco', localSteps: 12, fragments: 4, mixing: 0 },
      validation: { everyEpochs: 10 },
      cluster: { minWorkers: 3 },
    }),
    model: countingModel(600, 50, 4),
    arithmetic: countingArithmetic,
    fleet,
    seed: 1,
    chunkLength: 64,
  });
  expect(verdict).toMatchObject({ status: 'succeeded', samples: { applied: 6000, lost: 0 } });
  expect(new Set(parameters)).toEqual(new Set([-10]));
  const tasks = eventsOf(events, 'contribution').filter(({ samples }) => samples > 0);
  const of = (name: string) => tasks.filter((task) => task.name === name);
  // Without the end, at which everybody waits for the last one.
  const untilMs = Math.min(...fleet.map(({ name }) => of(name).at(-1)!.sentAtMs));
  for (const name of ['a', 'b']) {
    const timely = of(name).filter(({ doneAtMs }) => doneAtMs <= untilMs);
    const wallMs = timely.at(-1)!.sentAtMs - timely[0]!.sentAtMs;
    expect(timely.slice(0, -1).reduce((sum, { computeMs }) => sum + computeMs, 0) / wallMs, name).toBeGreaterThan(0.95);
  }
  expect(new Set(of('c').flatMap(({ fragments }) => fragments!))).toEqual(new Set([0, 1, 2, 3]));
  expect(of('c').reduce((sum, { samples }) => sum + samples, 0) / 6000).toBeCloseTo(100 / 2100, 1);
});

test('streaming-diloco: a fragment moves by the mean over all samples, also those that come with a later round, and a phase ends in one round', async () => {
  const batch = 10;
  const optimizer = { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 } as const;
  const moved = new Map<number, number>();
  let before = 0;
  const { events } = await simulate({
    job: job({
      train: { batch, epochs: 8, optimizer, learningRate: 1, schedule: { type: 'constant' } },
      sync: { strategy: 'streaming-diloco', localSteps: 12, fragments: 4, mixing: 0, outer: { learningRate: 1, momentum: 0 } },
      validation: { everyEpochs: 2 },
      cluster: { minWorkers: 3 },
    }),
    model: slope(64),
    fleet: [1000, 800, 100].map((samplesPerSecond, i) => ({ name: 'abc'[i]!, samplesPerSecond, link: { upBitsPerSecond: 1e7, downBitsPerSecond: 5e7, rttMs: 10 } })),
    seed: 1,
    committed({ version }, _nowMs, parameters) {
      const now = parameters().reduce((sum, value) => sum + value / 16, 0);
      moved.set(version, before - now);
      before = now;
    },
  });
  const stepped = new Map(['a', 'b', 'c'].map((name) => [name, 0]));
  const sent = new Map<string, number>();
  const unsentOf = (name: string, fragment: number) => stepped.get(name)! - (sent.get(`${name}/${fragment}`) ?? 0);
  let together: (typeof contributions)[number][] = [];
  let partly = 0;
  const contributions = eventsOf(events, 'contribution');
  for (const { body } of events) {
    if (body.event === 'contribution') together.push(body);
    if (body.event !== 'commit') continue;
    for (const { name, samples } of together) stepped.set(name, stepped.get(name)! + samples);
    let expected = 0;
    for (const fragment of body.fragments!) {
      const senders = together.filter(({ fragments }) => fragments!.includes(fragment));
      const all = [...stepped.keys()].reduce((sum, name) => sum + unsentOf(name, fragment), 0);
      for (const { name } of senders) expected += (unsentOf(name, fragment) * unsentOf(name, fragment)) / batch / all;
      for (const { name } of senders) sent.set(`${name}/${fragment}`, stepped.get(name)!);
      if ([...stepped.keys()].some((name) => unsentOf(name, fragment) > 0)) partly++;
    }
    expect(moved.get(body.version), `version ${body.version}`).toBeCloseTo(expected, 3);
    together = [];
  }
  expect(partly).toBeGreaterThan(10);
  const endings = new Set(contributions.filter(({ samples }) => samples === 0).map(({ round }) => round));
  expect(endings.size).toBe(eventsOf(events, 'validation').length);
});

test.each<{ readonly fault: Fault; readonly reason: string }>([
  { fault: { kind: 'kill', worker: 'b', atMs: 1500 }, reason: 'the process was killed' },
  { fault: { kind: 'tamper', worker: 'b', round: 7, chunk: 0, how: 'corrupt' }, reason: 'chunk 0 of gradient 30 fails its checksum' },
])('streaming-diloco: what a group did not send of every fragment when it ends in mid-turn ($fault.kind) is reported lost, and nothing comes twice', async ({ fault, reason }) => {
  const copies = 4;
  const outcome = await simulate({
    job: job({ train: { batch: 20, epochs: 3 }, sync: { strategy: 'streaming-diloco', localSteps: 16, fragments: copies, mixing: 0 }, cluster: { minWorkers: 4 } }),
    model: countingModel(600, 50, copies),
    arithmetic: countingArithmetic,
    fleet: unequalFleet.map((worker) => ({ ...worker, link: HOME })),
    faults: [fault],
    seed: 1,
    chunkLength: 64,
  });
  expect(outcome.fired).toContain(fault);
  const [lost, ...others] = eventsOf(outcome.events, 'samples_lost');
  expect(others).toEqual([]);
  expect(lost!.reason).toBe(reason);
  expect(lost!.samples).toBeGreaterThan(0);
  const { applied } = outcome.verdict.samples;
  expect(outcome.verdict).toMatchObject({
    status: 'succeeded',
    reason: `every sample was applied, but for ${lost!.samples} that were lost`,
    samples: { applied: 1800 - lost!.samples, lost: lost!.samples },
  });
  const counted = outcome.parameters.reduce((sum, value) => sum - value, 0);
  expect(Math.max(...outcome.parameters.map((value) => -value))).toBe(3);
  expect(counted).toBeGreaterThan(copies * applied);
  expect(counted).toBeLessThan(copies * 1800);
});

test('ssp: nobody is further ahead than the bound, whoever stalls', async () => {
  const stall: Fault = { kind: 'stall', worker: 'c', atMs: 900, forMs: 120 };
  const { events, fired } = await train(strategies.ssp, [stall]);
  expect(fired).toContain(stall);
  const ended = new Map(['a', 'b', 'c', 'd'].map((name) => [name, 0]));
  let furthest = 0;
  for (const { body } of events) {
    if (body.event !== 'contribution') continue;
    const { name, staleness } = body;
    ended.set(name, ended.get(name)! + 1);
    expect(staleness).toBeLessThanOrEqual(3 * (2 * 1 + 1));
    furthest = Math.max(furthest, ended.get(name)! - Math.min(...ended.values()));
  }
  expect(furthest).toBe(2); // one ahead when it begins, two when it ends
});

test('asp: a stalled worker holds nobody up, and what it brings late weighs less', async () => {
  const stall: Fault = { kind: 'slow', worker: 'c', atMs: 900, forMs: 150, factor: 50 };
  const outcome = await train(strategies.asp, [stall]);
  const contributions = eventsOf(outcome.events, 'contribution');
  const late = contributions.filter(({ name, accepted, weight }) => name === 'c' && accepted && weight < 1);
  expect(late.length).toBeGreaterThan(0);
  for (const { staleness, weight } of contributions.filter(({ accepted }) => accepted)) {
    expect(weight).toBeCloseTo((1 + Math.max(0, staleness - 3)) ** -0.5, 12);
  }
  const receipts = outcome.workerEvents.get('c')!.filter((event) => event.event === 'receipt');
  expect(receipts.some((receipt) => receipt.weight < 1 && receipt.staleness > 3)).toBe(true);
});

test('with a backup worker a round waits for nobody in particular, and the late one is told', async () => {
  const slow: Fault = { kind: 'slow', worker: 'd', atMs: 600, forMs: 1e7, factor: 30 };
  const sync: Partial<Job['sync']> = { strategy: 'bsp', quorum: 0.75, graceMs: 20, minDeadlineMs: 900 };
  const outcome = await train(sync, [slow]);
  const refused = eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted);
  expect(refused[0]!.reason).toMatch(/^came after the quorum of round \d+ and its grace$/);
  expect(new Set(refused.map(({ name }) => name))).toEqual(new Set(['d']));
  const commits = eventsOf(outcome.events, 'commit');
  expect(commits.some(({ reason }) => reason === '3 of 4 delivered, and 20 ms of grace are over')).toBe(true);
  // No longer than a validation, which waits for everybody up to its deadline.
  expect(Math.max(...commits.map(({ roundMs }) => roundMs))).toBeLessThan(1200);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: EPOCHS * 600 } });
});

test('a stream in a pipeline is refused, with the field and the way out', async () => {
  const layout = [['a', 'b'].map((worker) => ({ workers: [worker], blocks: 3 }))];
  const cluster = { minWorkers: 2, layout, microbatch: 7 };
  const blocks = chain({ features: 6, width: 5, blocks: 6, trainSamples: 240, validationSamples: 40, seed: 11 });
  const recipe = job({ sync: { strategy: 'streaming-diloco' }, cluster });
  const { verdict } = await simulate(scenario({ job: recipe, model: blocks, fleet: unequalFleet.slice(0, 2) }));
  expect(verdict.reason).toBe('streaming-diloco needs workers that hold the whole model, and p1 is a pipeline of a + b');
  expect(verdict.error).toMatchObject({ code: 'usage', where: 'sync.strategy', hint: expect.stringContaining('choose diloco') as string });
});
