import { expect, test } from 'vitest';
import { CODEC_IDS } from './codec.js';
import { measureCoding } from './measure-coding.js';

test('of each codec the fastest of several times counts, for a million values', () => {
  // Coding takes no time by this clock, but each fifth reading is 10 ms late.
  let readings = 0;
  let lateMs = 0;
  const slowNow = measureCoding(() => (lateMs += readings++ % 5 === 0 ? 10 : 0));
  expect(Object.keys(slowNow)).toEqual(Object.keys(CODEC_IDS));
  for (const { encodeMs, decodeMs } of Object.values(slowNow)) expect([encodeMs, decodeMs]).toEqual([0, 0]);
  let ticks = 0;
  const steady = measureCoding(() => ticks++);
  for (const { encodeMs } of Object.values(steady)) expect(encodeMs).toBeCloseTo(1e6 / 262_144, 9);
});
