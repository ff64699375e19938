import { expect, test } from 'vitest';
import { formatBitRate, formatBytes, formatCount, formatSeconds } from './units.js';

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1536, '1.5 KiB'],
  [99.97 * 1024, '100 KiB'],
  [1024 ** 2 - 1, '1.0 MiB'],
  [123 * 1024 ** 2, '123 MiB'],
  [5 * 1024 ** 4, '5.0 TiB'],
])('%d bytes read %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  [0.25, '250 ms'],
  [0.9996, '1.0 s'],
  [9.96, '10.0 s'],
  [59.4, '59 s'],
  [95.2, '1 min 35 s'],
  [3599.7, '1 h 0 min'],
  [7260, '2 h 1 min'],
])('%d seconds read %s', (seconds, text) => expect(formatSeconds(seconds)).toBe(text));

test.each([
  [0, '0'],
  [7, '7'],
  [0.256, '0.26'],
  [1234, '1.23k'],
  [45_678, '45.7k'],
  [9.999, '10.0'],
  [99_960, '100k'],
  [999.6, '1.00k'],
  [999_960, '1.00M'],
  [1_234_567, '1.23M'],
])('%d reads %s', (value, text) => expect(formatCount(value)).toBe(text));

test.each([
  [0, '0 bit/s'],
  [19_960_000, '20 Mbit/s'],
  [943e6, '943 Mbit/s'],
  [999.7e6, '1 Gbit/s'],
  [52.3e9, '52 Gbit/s'],
])('%d bits a second read %s', (rate, text) => expect(formatBitRate(rate)).toBe(text));
