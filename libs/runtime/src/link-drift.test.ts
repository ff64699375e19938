import { expect, test } from 'vitest';
import { LinkDrift } from './link-drift.js';

const told = (node: string, upBitsPerSecond: number, downBitsPerSecond = 1e8) => ({ node, link: { upBitsPerSecond, downBitsPerSecond, roundTripMs: 30 } });
const member = (...of: Parameters<typeof told>) => ({ node: of[0], session: { link: told(...of).link } });

test('a link drifts when a rate is off by more than a fifth of what was noted', () => {
  const drift = new LinkDrift();
  expect(drift.in([member('a', 1e7)]), 'nothing was noted').toBe(false);
  drift.note([told('a', 1e7), { node: 'b', link: undefined }]);
  expect(drift.in([member('a', 1.15e7), member('b', 1e6)]), 'who was not measured has not drifted').toBe(false);
  expect(drift.in([member('a', 1.3e7)])).toBe(true);
  expect(drift.in([member('a', 1e7, 7e7)])).toBe(true);
  drift.note([told('a', 1.3e7)]);
  expect(drift.in([member('a', 1.3e7)])).toBe(false);
});
