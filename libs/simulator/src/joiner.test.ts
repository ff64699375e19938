import { expect, test } from 'vitest';
import { simulate } from './simulate.js';
import { job, scenario } from './testing/scenarios.js';

test('a joiner holds nobody up while it loads', async () => {
  // An exchange takes about as long as a step; a probe of the joiner's link is as long as five exchanges.
  const link = { upBitsPerSecond: 50_000, downBitsPerSecond: 200_000, rttMs: 20 };
  const fleet = ['a', 'b', 'c', 'd'].map((name) => ({ name, samplesPerSecond: 200, link }));
  const joiner = { name: 'late', samplesPerSecond: 200, link, joinAtMs: 8000, prepareMs: 10_000 };
  const { events, verdict } = await simulate(
    scenario({
      job: job({ train: { epochs: 10 }, validation: { everyEpochs: 100 }, cluster: { minWorkers: 4 } }),
      fleet: [...fleet, joiner],
      serverBitsPerSecond: 400_000,
      probeBytes: 4000,
    }),
  );
  expect(verdict, verdict.reason).toMatchObject({ status: 'succeeded' });
  const at = (event: string) => events.find(({ body }) => body.event === event && 'name' in body && body.name === 'late')!.timeMs;
  const [joinedMs, readyMs] = [at('node_joined'), at('worker_ready')];
  const rate = (fromMs: number, toMs: number) => {
    const samples = events.reduce((sum, { timeMs, body }) => (body.event === 'commit' && timeMs > fromMs && timeMs <= toMs ? sum + body.samples : sum), 0);
    return samples / (toMs - fromMs);
  };
  expect(readyMs - joinedMs).toBeGreaterThan(10_000);
  expect(rate(joinedMs, readyMs) / rate(joinedMs - 6000, joinedMs)).toBeGreaterThan(0.95);
});
