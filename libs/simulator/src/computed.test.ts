import { expect, test } from 'vitest';
import { simulate } from './simulate.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';

test('what devices are said to have computed is what their contributions count, and no device does two things at once', async () => {
  const passes = new Map<string, [number, number][]>();
  const { events } = await simulate(
    scenario({
      job: job({ validation: { everyEpochs: 100 }, cluster: { minWorkers: 4 } }),
      shares: (batch, workers) => new Map(workers.map(({ node }) => [node, batch / workers.length])),
      computed: (worker, fromMs, toMs) => void passes.set(worker, [...(passes.get(worker) ?? []), [fromMs, toMs]]),
    }),
  );
  const contributions = eventsOf(events, 'contribution');
  expect(new Set(contributions.map(({ samples }) => samples))).toEqual(new Set([15]));
  const evaluatedFromMs = events.findLast(({ body }) => body.event === 'commit')!.timeMs;
  for (const [worker, own] of passes) {
    own.slice(1).forEach(([fromMs], i) => expect(fromMs).toBeGreaterThanOrEqual(own[i]![1]));
    const counted = contributions.filter(({ name }) => name === worker).reduce((sum, { computeMs }) => sum + computeMs, 0);
    const training = own.filter(([fromMs]) => fromMs < evaluatedFromMs);
    expect(training.reduce((sum, [fromMs, toMs]) => sum + toMs - fromMs, 0)).toBeCloseTo(counted, 6);
  }
  expect([...passes.keys()].sort()).toEqual(['a', 'b', 'c', 'd']);
});
