import { expect, test } from 'vitest';
import { roundsOf, type Case } from './testing/rounds-in-virtual-time.js';

const slow = { up: 20e6, down: 100e6 };

async function expectAsPlanned(given: Case): Promise<number> {
  const { plan, ms } = await roundsOf(given);
  expect(plan.roundMs / ms).toBeGreaterThan(0.95);
  expect(plan.roundMs / ms).toBeLessThan(1.05);
  return ms;
}

test.each<Case & { tied: number }>([
  { tied: 1e6, over: [{ teraflops: [[0.3], [0.3]], blocks: [4, 4] }], link: slow },
  { tied: 16e6, over: [{ teraflops: [[0.3], [0.3], [0.3]], blocks: [3, 2, 3] }], link: slow },
  { tied: 4e6, over: [{ teraflops: [[0.3], [0.1]], blocks: [6, 2] }], link: { up: 20e6, down: 20e6 } },
])('rounds of a pipeline that takes local steps, with $tied values at both ends of it, last as long as planned', async (given) => {
  const ms = await expectAsPlanned(given);
  const { ms: without } = await roundsOf({ ...given, tied: 0 });
  expect(ms).toBeGreaterThan(1.5 * without);
});

const together = (devices: number) => Array.from({ length: devices }, () => 3 / devices);

test.each([
  [0, 2, 1, [6, 2]],
  [0, 3, 1, [2, 6]],
  [0, 4, 1, [6, 2]],
  [0, 1, 2, [2, 6]],
  [0, 1, 2, [6, 2]],
  [0, 1, 3, [6, 2]],
  [0, 1, 4, [2, 6]],
  [1e6, 1, 2, [4, 4]],
  [4e6, 2, 2, [4, 4]],
  [1e6, 1, 3, [4, 4]],
])('rounds of a pipeline that takes local steps, with %i values at both ends and stages of %i and %i devices, last as long as planned', async (tied, front, back, blocks) => {
  await expectAsPlanned({ tied, over: [{ teraflops: [together(front), together(back)], blocks }], link: slow, direct: true, sync: { localSteps: 16 } });
});
