import { expect, test } from 'vitest';
import { simulate } from './simulate.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';

test('a whole job', async () => {
  const outcome = await simulate(scenario({ job: job({ cluster: { minWorkers: 4 } }) }));
  for (const { timeMs, body } of outcome.events) console.log(timeMs.toFixed(1), JSON.stringify(body).slice(0, 300));
  console.log(outcome.verdict, outcome.workerEnds, outcome.virtualMs);
  expect(outcome.verdict.status).toBe('succeeded');
  expect(eventsOf(outcome.events, 'commit').length).toBeGreaterThan(1);
});
