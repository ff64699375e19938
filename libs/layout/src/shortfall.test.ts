import type { Job } from '@longtail/core';
import { expect, test } from 'vitest';
import { job, of, run, SAMPLES, worker } from './testing/six-blocks.js';

/** Six blocks take 29 MiB of parameters and gradients at the least. */
const small = { memoryBytes: 14 * 2 ** 20 };
const adam: Job = { ...job, train: { ...job.train, epochs: 2 } };
const noPlan = /^no plan: six has 28\.6 MiB of parameters and optimizer state, 22\.9 MiB of it at the server, and needs 28\.6 MiB to train in parts, the fleet of 2 holds 28\.0 MiB/;

test('where no plan fits all that the job waited for, it says at once what is missing, and ends with that when nobody else comes', async () => {
  const outcome = await run([worker('a', small), worker('b', small)], [], { job: adam });
  const [said] = of(outcome, 'waiting').filter(({ shortfall }) => shortfall !== undefined);
  expect(said!.timeMs).toBeLessThan(10_000);
  expect(said!.shortfall).toMatch(noPlan);
  expect(said!.reason).toContain('Others have 20 s to join');
  expect(outcome.verdict).toMatchObject({ status: 'failed', error: { code: 'no-plan', hint: expect.stringMatching(/add one \d+ GiB device/) as unknown } });
  expect(outcome.verdict.reason).toMatch(noPlan);
  expect(outcome.verdict.seconds).toBeGreaterThan(20);
});

test('whoever joins meanwhile is planned with', async () => {
  const outcome = await run([worker('a', small), worker('b', small), worker('c', { joinAtMs: 12_000 })], [], { job: adam });
  expect(of(outcome, 'waiting').some(({ shortfall }) => shortfall !== undefined)).toBe(true);
  expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded', samples: { applied: SAMPLES / 15, lost: 0 } });
});
