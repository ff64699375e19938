import fc from 'fast-check';
import { expect, test } from 'vitest';
import { afterDelivery, afterIdleRound, afterLocalSteps, afterMiss, effectiveSamplesPerSecond, expectedMs, initialSpeed } from './speed.js';

const deliver = (speed: ReturnType<typeof initialSpeed>, samples: number, computeMs: number, exchangeMs: number) =>
  afterDelivery(speed, { samples, computeMs, elapsedMs: computeMs + exchangeMs });

test('the first delivery replaces the prior; nothing is expected before it', () => {
  const prior = initialSpeed(1000);
  expect(effectiveSamplesPerSecond(prior)).toBe(1000);
  expect(expectedMs(prior, 100)).toBeUndefined();
  const measured = deliver(prior, 100, 200, 50);
  expect(expectedMs(measured, 100)).toBe(250);
  expect(effectiveSamplesPerSecond(measured)).toBe(400);
});

test('one outlier moves nothing, a lasting change is followed after half a window', () => {
  let speed = initialSpeed(1000);
  for (let i = 0; i < 7; i++) speed = deliver(speed, 100, 100, 10);
  speed = deliver(speed, 100, 900, 500);
  expect(expectedMs(speed, 100)).toBe(110);
  for (let i = 0; i < 3; i++) speed = deliver(speed, 100, 900, 500);
  expect(expectedMs(speed, 100)).toBe(1400);
});

test('a miss at least halves the speed and forgets what was measured; rounds without a share bring it back slowly', () => {
  let speed = deliver(initialSpeed(1000), 100, 100, 10);
  speed = afterMiss(speed, 100, 150);
  expect(speed.msPerSample).toBe(2);
  speed = afterMiss(speed, 10, 5000);
  expect(speed.msPerSample).toBe(500);
  expect(afterIdleRound(speed).msPerSample).toBeLessThan(500);
  expect(deliver(speed, 100, 100, 10).msPerSample).toBe(1);
});

test('local steps measure the device, not the exchange', () => {
  const speed = afterLocalSteps(initialSpeed(1000), 1000, 500);
  expect(speed.msPerSample).toBe(0.5);
  expect(speed.exchangeMs).toBeUndefined();
});

test('shares in proportion to the effective speed converge to equal finishing times', () => {
  const device = fc.record({ msPerSample: fc.double({ min: 0.1, max: 10, noNaN: true }), exchangeMs: fc.double({ min: 0, max: 50, noNaN: true }) });
  fc.assert(
    fc.property(fc.array(device, { minLength: 2, maxLength: 6 }), (devices) => {
      let speeds = devices.map(({ msPerSample }) => initialSpeed(1000 / msPerSample));
      let shares: number[] = [];
      for (let round = 0; round < 400; round++) {
        const effective = speeds.map(effectiveSamplesPerSecond);
        const total = effective.reduce((a, b) => a + b, 0);
        shares = effective.map((speed) => (10_000 * speed) / total);
        speeds = speeds.map((speed, i) => deliver(speed, shares[i]!, shares[i]! * devices[i]!.msPerSample, devices[i]!.exchangeMs));
      }
      const times = shares.map((share, i) => devices[i]!.exchangeMs + share * devices[i]!.msPerSample);
      expect(Math.max(...times) / Math.min(...times)).toBeLessThan(1.01);
    }),
    { numRuns: 50 },
  );
});
