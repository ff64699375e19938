import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  afterDelivery,
  afterIdleRound,
  afterLocalSteps,
  afterMiss,
  balancedSpeeds,
  effectiveSamplesPerSecond,
  expectedMs,
  initialSpeed,
  plannedSpeed,
} from './speed.js';

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

test('what a plan expects decides the first shares, and holds nobody to a deadline; a dear first round does not undo it', () => {
  const planned = [plannedSpeed({ msPerSample: 10, exchangeMs: 100 }), plannedSpeed({ msPerSample: 5, exchangeMs: 0 })];
  const samples = (speeds: typeof planned) => {
    const balanced = balancedSpeeds(40, speeds);
    return balanced.map((speed) => Math.round((40 * speed) / balanced.reduce((a, b) => a + b, 0)));
  };
  expect(samples(planned)).toEqual([7, 33]);
  expect(planned.map((speed) => expectedMs(speed, 10))).toEqual([undefined, undefined]);
  const after = [deliver(planned[0]!, 7, 900, 400), deliver(planned[1]!, 33, 165, 0)];
  expect(samples(after)).toEqual([7, 33]);
  expect(expectedMs(after[0]!, 10)).toBe(200);
});

test('outliers move nothing, a lasting change is followed after half a window', () => {
  let speed = initialSpeed(1000);
  for (let i = 0; i < 15; i++) speed = deliver(speed, 100, 100, 10);
  for (let i = 0; i < 6; i++) speed = deliver(speed, 100, 900, 500);
  expect(expectedMs(speed, 100)).toBe(110);
  for (let i = 0; i < 2; i++) speed = deliver(speed, 100, 900, 500);
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

test('balanced speeds split a batch so that all are done at the same time, or leave a worker out', () => {
  const device = fc.record({
    msPerSample: fc.double({ min: 0.1, max: 10, noNaN: true }),
    exchangeMs: fc.double({ min: 0, max: 500, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2000 }), fc.array(device, { minLength: 1, maxLength: 8 }), (batch, devices) => {
      const speeds = devices.map(({ msPerSample, exchangeMs }) => deliver(initialSpeed(1), 10, 10 * msPerSample, exchangeMs));
      const balanced = balancedSpeeds(batch, speeds);
      const doneMs = (1000 * batch) / balanced.reduce((a, b) => a + b, 0);
      for (const [i, { msPerSample, exchangeMs }] of devices.entries()) {
        const share = (balanced[i]! * doneMs) / 1000;
        if (share > 0) expect(exchangeMs + share * msPerSample).toBeCloseTo(doneMs, 6);
        else expect(exchangeMs).toBeGreaterThanOrEqual(doneMs - 1e-9);
      }
    }),
  );
});

test('an exchange that was never measured is taken to be like the others', () => {
  const known = deliver(initialSpeed(1000), 100, 100, 50);
  const [a, b] = balancedSpeeds(100, [known, initialSpeed(1000)]);
  expect(b).toBeCloseTo(a!, 9);
  expect(balancedSpeeds(100, [initialSpeed(600), initialSpeed(400)]).map(Math.round)).toEqual([600, 400]);
});
