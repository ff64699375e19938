import { expect, test } from 'vitest';
import { roundsOf, type Case } from './testing/rounds-in-virtual-time.js';

const slow = { up: 20e6, down: 100e6 };

test.each<Case>([
  { tied: 1e6, devices: [0.3, 0.3], blocks: [4, 4], link: slow },
  { tied: 4e6, devices: [0.3, 0.3], blocks: [4, 4], link: slow },
  { tied: 16e6, devices: [0.3, 0.3, 0.3], blocks: [3, 2, 3], link: slow },
  { tied: 4e6, devices: [0.3, 0.1], blocks: [6, 2], link: { up: 20e6, down: 20e6 } },
])('rounds of a pipeline that takes local steps, with $tied values at both ends of it, last as long as planned', async (given) => {
  const { plannedMs, ms } = await roundsOf(given);
  expect(plannedMs / ms).toBeGreaterThan(0.93);
  expect(plannedMs / ms).toBeLessThan(1.05);
  const { ms: without } = await roundsOf({ ...given, tied: 0 });
  expect(ms).toBeGreaterThan(1.5 * without);
});

test.each([2, 3, 4])('rounds of a pipeline that takes local steps, its first stage on %i devices, last as long as planned', async (count) => {
  const { plannedMs, ms } = await roundsOf({ tied: 0, devices: [3 / count, 3], replicas: [count, 1], blocks: [6, 2], link: slow });
  expect(plannedMs / ms).toBeGreaterThan(0.92);
  expect(plannedMs / ms).toBeLessThan(1.03);
});
