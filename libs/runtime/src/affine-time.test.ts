import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fitAffine } from './affine-time.js';

interface TimedWork {
  readonly samples: number;
  readonly ms: number;
}

/** By sorting. */
function lowerMedian(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1]!;
}

/** By sorting all slopes, with what each weighs. */
function slopeOf(times: readonly TimedWork[]): number {
  const most = Math.max(...times.map(({ samples }) => samples));
  const slopes = times.flatMap(({ samples, ms }, i) => [
    { value: ms / samples, weight: samples / 4 / most },
    ...times.slice(0, i).map((other) => ({ value: (ms - other.ms) / (samples - other.samples), weight: Math.abs(samples - other.samples) / most })),
  ]);
  const sorted = slopes.filter(({ weight }) => weight > 0).sort((a, b) => a.value - b.value);
  const half = sorted.reduce((sum, { weight }) => sum + weight, 0) / 2;
  let below = 0;
  return sorted.find(({ weight }) => (below += weight) >= half * (1 - 1e-9))!.value;
}

test('the line is the one that sorting all slopes leads to', () => {
  const time = fc.record({ samples: fc.integer({ min: 1, max: 12 }), ms: fc.double({ min: 1, max: 1000, noNaN: true }) });
  fc.assert(
    fc.property(fc.array(time, { minLength: 1, maxLength: 15 }), (times) => {
      const line = { fixedMs: NaN, msPerSample: NaN };
      fitAffine(
        line,
        times.map(({ samples }) => samples),
        times.map(({ ms }) => ms),
      );
      const slope = slopeOf(times);
      const fixed = lowerMedian(times.map(({ samples, ms }) => ms - samples * slope));
      const isLine = times.some(({ samples }) => samples !== times[0]!.samples) && fixed >= 0 && slope > 0;
      expect(line).toEqual(isLine ? { fixedMs: fixed, msPerSample: slope } : { fixedMs: 0, msPerSample: lowerMedian(times.map(({ samples, ms }) => ms / samples)) });
    }),
  );
});
