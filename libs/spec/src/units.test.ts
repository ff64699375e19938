import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseBitRate, parseByteSize, parseDurationMs, parsePart, parsePower } from './units.js';

it('reads times', () => {
  expect(['30s', '5min', '1.5 h', '200ms', '2', 7, '1d'].map(parseDurationMs)).toEqual([
    30_000, 300_000, 5_400_000, 200, 2000, 7000, 86_400_000,
  ]);
  expect(['', 's', '5 minutes', '-3s', '1e3s', '3 s s', '5constructor'].map(parseDurationMs)).toEqual(Array(7).fill(undefined));
});

it('tells decimal from binary sizes', () => {
  expect(['10MB', '1.5GiB', '4096', '2kB', '1 TiB', '4gb'].map(parseByteSize)).toEqual([10e6, 1.5 * 2 ** 30, 4096, 2000, 2 ** 40, 4e9]);
});

it('reads rates as people write them', () => {
  expect(['20Mbit', '10mbit', '1 Gbit/s', '2.5Gbps', '800 kbit', '64', 5].map(parseBitRate)).toEqual([20e6, 10e6, 1e9, 2.5e9, 800e3, 64e6, 5e6]);
  expect(['', '-1mbit', '10MB', '10/s', '10mbit/s/s', 'mbit'].map(parseBitRate)).toEqual(Array(6).fill(undefined));
});

it('reads parts and powers', () => {
  expect(['50%', '0.5', 1, '100 %', '.25'].map(parsePart)).toEqual([0.5, 0.5, 1, 1, 0.25]);
  expect(['101%', '2', '-1', '', '50 percent'].map(parsePart)).toEqual(Array(5).fill(undefined));
  expect(['200W', '200 w', '0.2kW', 65].map(parsePower)).toEqual([200, 200, 200, 65]);
  expect(['200V', '', 'W'].map(parsePower)).toEqual(Array(3).fill(undefined));
});

it('takes nothing that no number holds', () => {
  const digits = '9'.repeat(400);
  expect([parseDurationMs(digits), parseByteSize(`${digits}GiB`), parseBitRate(`${digits}mbit`), parsePower(digits)]).toEqual(Array(4).fill(undefined));
});

it('never takes nonsense', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const ms = parseDurationMs(text);
      expect(ms === undefined || (Number.isFinite(ms) && ms >= 0)).toBe(true);
    }),
  );
});
