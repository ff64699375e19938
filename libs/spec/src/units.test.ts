import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseByteSize, parseDurationMs } from './units.js';

it('reads times', () => {
  expect(['30s', '5min', '1.5 h', '200ms', '2', 7, '1d'].map(parseDurationMs)).toEqual([
    30_000, 300_000, 5_400_000, 200, 2000, 7000, 86_400_000,
  ]);
  expect(['', 's', '5 minutes', '-3s', '1e3s', '3 s s', '5constructor'].map(parseDurationMs)).toEqual(Array(7).fill(undefined));
});

it('tells decimal from binary sizes', () => {
  expect(['10MB', '1.5GiB', '4096', '2kB', '1 TiB'].map(parseByteSize)).toEqual([10e6, 1.5 * 2 ** 30, 4096, 2000, 2 ** 40]);
});

it('never takes nonsense', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const ms = parseDurationMs(text);
      expect(ms === undefined || (Number.isFinite(ms) && ms >= 0)).toBe(true);
    }),
  );
});
