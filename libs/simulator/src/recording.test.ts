import { standingEvents, type CodecName, type RunEvent, type StoredEvent, type StrategyName } from '@longtail/core';
import { CODEC_IDS } from '@longtail/kernels';
import { expect, test } from 'vitest';
import { softmaxRegression } from './model.js';
import type { Outcome, Scenario } from './scenario.js';
import { simulate } from './simulate.js';
import { fleet, pipelined } from './testing/pipelined.js';
import { recordedDifference } from './testing/recorded.js';
import { eventsOf, job, scenario, type JobChanges } from './testing/scenarios.js';

const STRATEGIES: readonly StrategyName[] = ['bsp', 'ssp', 'asp', 'diloco', 'sparse-diloco', 'streaming-diloco'];
/** Codecs and strategies do not know of each other: all of the former with the first. */
const codecsOf = (strategy: StrategyName): readonly CodecName[] => (strategy === STRATEGIES[0] ? (Object.keys(CODEC_IDS) as CodecName[]) : ['bf16', 'int4', 'top-k']);
const model = softmaxRegression({ features: 30, classes: 12, trainSamples: 600, validationSamples: 90, seed: 9 });
const UNBOUNDED = { record: { maxBytes: Infinity } };
const topK = { density: 0.25, values: 'int8', selection: 'exact' } as const;

function recordedVersions({ store }: Outcome): readonly number[] {
  return [...store.recording!.versions.keys()];
}

function committedVersions({ events }: Outcome): readonly number[] {
  return eventsOf(standingEvents(events), 'commit').map(({ version }) => version);
}

/** Bytes of the contributions, and what they were expected to be. */
function sizes({ events, store }: Outcome): { readonly taken: number; readonly needed: number } {
  return { taken: store.recording!.bytes, needed: eventsOf(events, 'recording')[0]!.neededBytes };
}

type Recorded = Outcome & { readonly difference: string | undefined };

async function recordRun(recorded: Scenario): Promise<Recorded> {
  const outcome = await simulate(recorded);
  return { ...outcome, difference: recordedDifference(recorded, outcome) };
}

function record(changes: JobChanges, rest: Partial<Scenario> = {}): Promise<Recorded> {
  const cluster = { minWorkers: rest.fleet?.length ?? 4 };
  return recordRun(scenario({ model, chunkLength: 100, ...rest, job: job({ cluster, ...UNBOUNDED, ...changes }) }));
}

test.each(STRATEGIES)('what %s learnt comes out of its recording again, in codecs of every kind', async (strategy) => {
  for (const codec of codecsOf(strategy)) {
    const local = strategy.endsWith('diloco');
    const outcome = await record({ sync: { strategy, codec, topK, ...(local && { localSteps: 4 }) }, train: { epochs: local ? 3 : 1, learningRate: 0.01 } });
    expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded' });
    expect([codec, outcome.difference]).toEqual([codec, undefined]);
    expect(recordedVersions(outcome)).toEqual(committedVersions(outcome));
    const { taken, needed } = sizes(outcome);
    expect(needed).toBeGreaterThan(taken);
  }
});

test('a lone worker, clipping, moments in 8 bits, sync: auto, and pipelines with replicas and ties', async () => {
  const lone = { fleet: [{ name: 'a', samplesPerSecond: 300 }] };
  const adam = { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, decoupled: true } as const;
  const layout = [
    [{ workers: ['a'], blocks: 2 }, { workers: ['b', 'c'], blocks: 4 }],
    [{ workers: ['d'] }],
  ];
  const outcomes = [
    await record({ train: { epochs: 4 } }, lone),
    await record({ train: { clipNorm: 0.1 } }),
    await record({ train: { optimizer: { ...adam, stateBits: 8 } } }),
    await record({ sync: { strategy: 'auto' } }, { probeBytes: 4096 }),
    await recordRun(pipelined(layout, UNBOUNDED, { fleet: fleet('abcd') })),
    await recordRun(pipelined(layout, { ...UNBOUNDED, sync: { strategy: 'diloco', localSteps: 2, codec: 'int8' }, train: { epochs: 4 } }, { fleet: fleet('abcd') })),
  ];
  for (const outcome of outcomes) {
    expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded' });
    expect([outcome.difference, recordedVersions(outcome)]).toEqual([undefined, committedVersions(outcome)]);
    expect(recordedVersions(outcome).length).toBeGreaterThan(2);
  }
  expect(eventsOf(outcomes[0]!.events, 'commit').every(({ soloSteps }) => soloSteps! > 0)).toBe(true);
});

test('a server that is killed goes on recording from its last durable version', async () => {
  const outcome = await record({ train: { epochs: 8 }, checkpoint: { everyMs: 300 } }, { faults: [{ kind: 'kill-server', atMs: 900, forMs: 500 }] });
  expect(outcome.fired.size).toBe(1);
  expect(eventsOf(outcome.events, 'resumed')[0]!.undone.commits).toBeGreaterThan(0);
  expect(eventsOf(outcome.events, 'resumed')[0]!.version).toBeGreaterThan(0);
  expect([outcome.difference, recordedVersions(outcome)]).toEqual([undefined, committedVersions(outcome)]);
  expect(eventsOf(outcome.events, 'recording_stopped')).toEqual([]);
});

test('one that is killed before the first checkpoint begins anew, and so does its recording', async () => {
  const outcome = await record({ train: { epochs: 8 }, checkpoint: { everyMs: 60_000 } }, { faults: [{ kind: 'kill-server', atMs: 900, forMs: 500 }] });
  expect(outcome.fired.size).toBe(1);
  expect(eventsOf(outcome.events, 'resumed')[0]!.undone.commits).toBeGreaterThan(0);
  expect([outcome.difference, recordedVersions(outcome)]).toEqual([undefined, committedVersions(outcome)]);
});

test('a run that is expected to need more than it may take is refused before anything is learnt', async () => {
  const { verdict, events } = await simulate(scenario({ job: job({ record: { maxBytes: 1000 }, cluster: { minWorkers: 4 } }) }));
  expect(verdict).toMatchObject({ status: 'failed', error: { code: 'usage' } });
  expect(verdict.reason).toMatch(/^recording needs \d+ bytes$/);
  expect(eventsOf(events, 'commit')).toEqual([]);
});

test('a recording that comes to need more after all ends, and the run goes on', async () => {
  // Those who join later were not counted.
  const fleet = ['a', 'b', 'c', 'd', 'e'].map((name, i) => ({ name, samplesPerSecond: 500, joinAtMs: i < 2 ? 0 : 400 }));
  const changes = { train: { epochs: 4 }, cluster: { minWorkers: 2 } };
  const { needed } = sizes(await record(changes, { fleet: fleet.slice(0, 2) }));
  const outcome = await record({ ...changes, record: { maxBytes: needed } }, { fleet });
  expect(outcome.verdict).toMatchObject({ status: 'succeeded' });
  const [stopped] = eventsOf(outcome.events, 'recording_stopped');
  expect(stopped).toMatchObject({ version: recordedVersions(outcome).at(-1), reason: 'it would take more than it may' });
  expect(stopped!.version).toBeLessThan(committedVersions(outcome).at(-1)!);
  expect(outcome.difference).toBeUndefined();
});

test('a disk that is full ends the recording, not the run', async () => {
  const outcome = await record({ train: { epochs: 4 } }, { faults: [{ kind: 'disk-full', what: 'recording', atMs: 600 }] });
  expect([outcome.fired.size, outcome.verdict.status, outcome.difference]).toEqual([1, 'succeeded', undefined]);
  expect(eventsOf(outcome.events, 'recording_stopped')).toMatchObject([{ version: recordedVersions(outcome).at(-1), reason: 'no space left for the recording' }]);
  expect(recordedVersions(outcome).length).toBeLessThan(committedVersions(outcome).length);
});

test('a log that lacks a contribution, or weighs it otherwise, is found out', async () => {
  const recorded = scenario({ model, chunkLength: 100, job: job({ cluster: { minWorkers: 4 }, ...UNBOUNDED }) });
  const outcome = await simulate(recorded);
  const isAccepted = ({ body }: StoredEvent) => body.event === 'contribution' && body.accepted && body.round === 5;
  const at = outcome.events.findIndex(isAccepted);
  const without = outcome.events.filter((_, i) => i !== at);
  expect(() => recordedDifference(recorded, { ...outcome, events: without })).toThrow(/^Version 5 is made of more contributions than the 3 that the event log has/);
  const otherwise = outcome.events.map((stored, i) => (i === at ? { ...stored, body: { ...stored.body, weight: 1.5 } as RunEvent } : stored));
  expect(recordedDifference(recorded, { ...outcome, events: otherwise })).toMatch(/^version 5: checksums/);
});

test('a standby that takes over goes on recording from what it holds, and the parts make one run', async () => {
  const outcome = await record({ train: { epochs: 4 } }, { standby: {}, faults: [{ kind: 'kill-server', atMs: 600, forMs: 500 }] });
  expect([outcome.fired.size, outcome.verdict.status, outcome.difference]).toEqual([1, 'succeeded', undefined]);
  const { version } = eventsOf(outcome.events, 'taken_over')[0]!;
  expect(eventsOf(outcome.events, 'recording').map((begun) => begun.version)).toEqual([0, version]);
  expect(eventsOf(outcome.events, 'recording_stopped')).toEqual([]);
  const before = [...outcome.earlierStores[0]!.recording!.versions.keys()].filter((one) => one <= version);
  // But for what was being written when the server died.
  expect(before.length).toBeGreaterThanOrEqual(version - 1);
  expect([...before, ...recordedVersions(outcome)]).toEqual(committedVersions(outcome).filter((one) => one <= before.length || one > version));
});
