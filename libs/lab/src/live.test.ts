import type { RunEvent, StoredEvent } from '@longtail/core';
import { expect, test } from 'vitest';
import { liveOutcome, liveRefusal, planLive } from './live.js';
import { scenario } from './testing/scenario.js';
import { Workbench } from './workbench.js';

test('a live arm whose model stands for a larger one tells the bytes of that, as virtual time does', () => {
  const { arms, seeds: _, name: __, description: ___, ...shared } = scenario('[{strategy: bsp}]');
  const exchange = { receiveMs: 10, encodeMs: 0, sendMs: 30, waitMs: 0 };
  const contribution = { event: 'contribution', name: 'fast', round: 1, accepted: true, samples: 40, staleness: 0, computeMs: 5, elapsedMs: 5, sentAtMs: 0, doneAtMs: 45, bytesUp: 1000, bytesDown: 2000, exchange };
  const bodies = [{ event: 'started' }, contribution, { event: 'commit', samples: 40, samplesApplied: 40, loss: 1 }];
  const events = bodies.map((body, seq): StoredEvent => ({ seq, timeMs: 45 * seq, body: body as unknown as RunEvent }));
  const task = { scenario: shared, mode: 'live', arm: arms[0]!, seed: 1, traces: {} } as const;
  const [own, grown] = [liveOutcome(task, events), liveOutcome(task, events, 20)].map(({ summary }) => [summary.bytesUpPerNode, summary.bytesDownPerNode]);
  expect(own).toEqual([500, 1000]);
  expect(grown).toEqual([10_000, 20_000]);
});

test('bytes of a live arm are all that its run moved, what contributions do not tell in equal parts: the last parameters, and what stages send each other', () => {
  const { arms, seeds: _, name: __, description: ___, ...shared } = scenario('[{strategy: bsp}]');
  const contribution = { event: 'contribution', name: 'fast', round: 1, accepted: true, samples: 40, staleness: 0, computeMs: 5, elapsedMs: 5, sentAtMs: 0, doneAtMs: 45, bytesUp: 1000, bytesDown: 2000 };
  const bodies = [{ event: 'started' }, contribution, { event: 'commit', samples: 40, samplesApplied: 40, loss: 1 }, { event: 'verdict', status: 'succeeded', bytes: { up: 1100, down: 5000, direct: 300 } }];
  const events = bodies.map((body, seq): StoredEvent => ({ seq, timeMs: 45 * seq, body: body as unknown as RunEvent }));
  const { summary, nodes } = liveOutcome({ scenario: shared, mode: 'live', arm: arms[0]!, seed: 1, traces: {} }, events);
  expect([summary.bytesUpPerNode, summary.bytesDownPerNode]).toEqual([700, 2650]);
  expect(nodes.map(({ bytesUp, bytesDown }) => [bytesUp, bytesDown])).toEqual([[1200, 3650], [200, 1650]]);
});

test('more machines than there is room for as processes are refused before this one is measured', async () => {
  const { arms, seeds: _, name: __, description: ___, ...shared } = scenario('[{strategy: bsp}]', { fleet: '{machines: [{samplesPerSecond: 1, count: 65, link: lte}]}' });
  expect(liveRefusal(shared, arms[0]!, 3)).toBeUndefined();
  const task = { scenario: shared, mode: 'live', arm: arms[0]!, seed: 1, traces: {} } as const;
  const planned = planLive(task, { cores: 2, device: () => expect.unreachable() }, new Workbench('cpu'));
  await expect(planned).rejects.toMatchObject({ code: 'no-plan', message: '65 machines are as many processes, and the 2 cores of this one run 64 beside each other: take --mode virtual or timing' });
});
