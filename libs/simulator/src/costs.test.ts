import { expect, test } from 'vitest';
import { simulate } from './simulate.js';
import { eventsOf, job, model, scenario } from './testing/scenarios.js';

const alike = ['a', 'b', 'c', 'd'].map((name) => ({ name, samplesPerSecond: 1000 }));
const unvalidated = job({ validation: { everyEpochs: 100 } });

test('a process that is gone is waited for until the server notices', async () => {
  const kill = { kind: 'kill', worker: 'b', atMs: 400 } as const;
  const lost = async (noticeMs?: number) => {
    const { events, fired, verdict } = await simulate(scenario({ job: unvalidated, fleet: alike, faults: [kill], noticeMs }));
    expect(fired).toContain(kill);
    expect(verdict.samples).toEqual({ applied: 2 * model.trainSamples, lost: 0 });
    return events.find(({ body }) => body.event === 'node_left' && body.name === 'b')!.timeMs;
  };
  expect(await lost()).toBe(400);
  expect(await lost(300)).toBe(700);
});

test('the server takes one chunk after the other', async () => {
  const [chunkLength, serverMs] = [1000, 30];
  const { events } = await simulate(scenario({ job: unvalidated, fleet: alike, chunkLength, serverMs: () => serverMs }));
  const contributions = eventsOf(events, 'contribution');
  for (const round of new Set(contributions.map((one) => one.round))) {
    const done = contributions.filter((one) => one.round === round).map(({ doneAtMs }) => doneAtMs).sort((a, b) => a - b);
    for (const [i, ms] of done.slice(1).entries()) expect(ms - done[i]!).toBeGreaterThanOrEqual(serverMs - 1e-6);
  }
});

test('what a node fetches before it first prepares takes its link’s time', async () => {
  const link = { upBitsPerSecond: 1e6, downBitsPerSecond: 8e6, rttMs: 20 };
  const fleet = [{ name: 'a', samplesPerSecond: 1000, prepareMs: 150, downloadBytes: 2e6, link }];
  const { events } = await simulate(scenario({ job: unvalidated, fleet }));
  const at = (name: string) => events.find(({ body }) => body.event === name)!.timeMs;
  expect(at('worker_ready') - at('node_joined')).toBeGreaterThanOrEqual(2000 + 150 + link.rttMs);
  expect(at('worker_ready') - at('node_joined')).toBeLessThan(2000 + 150 + link.rttMs + 1);
});
