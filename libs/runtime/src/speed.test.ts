import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SharedLine } from './shared-line.js';
import { effectiveSamplesPerSecond, expectedMs, roundTimes, Speed } from './speed.js';

const deliver = (speed: Speed, samples: number, computeMs: number, exchangeMs: number): Speed => {
  speed.delivered({ samples, computeMs, elapsedMs: computeMs + exchangeMs });
  return speed;
};

test('the first delivery replaces the prior; nothing is expected before it', () => {
  const prior = Speed.measured(1000);
  expect(effectiveSamplesPerSecond(prior)).toBe(1000);
  expect(expectedMs(prior, 100)).toBeUndefined();
  const measured = deliver(prior, 100, 200, 50);
  expect(expectedMs(measured, 100)).toBe(250);
  expect(effectiveSamplesPerSecond(measured)).toBe(400);
});

test('what a plan expects is expected at first, and holds nobody to a deadline; a dear first round does not undo it', () => {
  const planned = Speed.planned({ msPerSample: 10, exchangeMs: 100 });
  expect(roundTimes([{ id: 'a', speed: planned }])).toEqual([{ node: 'a', fixedMs: 100, msPerSample: 10 }]);
  expect(expectedMs(planned, 10)).toBeUndefined();
  expect(expectedMs(deliver(planned, 7, 900, 400), 10)).toBe(200);
});

test('single rounds move nothing, a lasting change is followed in three', () => {
  const times = (rounds: readonly (readonly [number, number])[]) => {
    const speed = Speed.measured(1000);
    for (const [computeMs, exchangeMs] of rounds) deliver(speed, 100, computeMs, exchangeMs);
    return expectedMs(speed, 100);
  };
  const steady = Array.from({ length: 15 }, () => [100, 10] as const);
  expect(times([...steady, [900, 500], [900, 500]])).toBe(110);
  expect(times([...steady, [900, 500], [900, 500], [100, 10], [900, 500]])).toBe(110);
  expect(times([...steady, [300, 10], [300, 10], [300, 10]])).toBe(310);
  expect(times([...steady, [300, 10], [300, 10], [300, 10], [100, 10], [100, 10], [100, 10]])).toBe(110);
});

const jitter = fc.array(fc.double({ min: 0.9, max: 1.1, noNaN: true }), { minLength: 30, maxLength: 30 });

test('of local steps each takes as long as another, however many a task has', () => {
  const tasks = [[24, 621], [32, 445], [32, 518]] as const;
  const speed = Speed.measured(200);
  for (const [samples, computeMs] of tasks) speed.delivered({ samples, computeMs, elapsedMs: computeMs, inSteps: true });
  expect(speed).toMatchObject({ fixedMs: 0, msPerSample: 518 / 32 });
});

test('what is fixed is told from what grows with the samples, by rounds of several sizes', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 3, noNaN: true }), fc.double({ min: 0.3, max: 5, noNaN: true }), jitter, (fixed, pace, noise) => {
      const timeOf = (samples: number) => pace * (20 * fixed + samples);
      const speed = Speed.measured(1000);
      for (let i = 0; i < 15; i++) deliver(speed, [10, 20, 40][i % 3]!, timeOf([10, 20, 40][i % 3]!) * noise[i]!, 0);
      for (const samples of [15, 30]) expect(expectedMs(speed, samples)! / timeOf(samples)).toBeGreaterThan(0.8);
      for (const samples of [15, 30]) expect(expectedMs(speed, samples)! / timeOf(samples)).toBeLessThan(1.25);
      // Three times as slow, at one size: the others are still known.
      for (let i = 15; i < 18; i++) deliver(speed, 20, 3 * timeOf(20) * noise[i]!, 0);
      for (const samples of [15, 30]) expect(expectedMs(speed, samples)! / (3 * timeOf(samples))).toBeGreaterThan(0.7);
      for (const samples of [15, 30]) expect(expectedMs(speed, samples)! / (3 * timeOf(samples))).toBeLessThan(1.4);
    }),
  );
});

test('a miss at least halves the speed and forgets what was measured; each round without a share is reason for more hope when it is tried', () => {
  const speed = deliver(Speed.measured(1000), 100, 100, 10);
  speed.missed({ samples: 100, elapsedMs: 150, computeMs: undefined });
  expect(speed.msPerSample).toBe(2);
  speed.missed({ samples: 10, elapsedMs: 5000, computeMs: undefined });
  expect(speed.msPerSample).toBe(500);
  for (let i = 0; i < 20; i++) speed.idled();
  expect(speed).toMatchObject({ msPerSample: 500, hope: 1.05 ** 20, expectedGain: 1.05 ** 20 });
  speed.retry();
  expect(speed.msPerSample).toBeCloseTo(500 / 1.05 ** 20);
  expect(deliver(speed, 100, 100, 10).msPerSample).toBe(1);
});

test('a miss of what was computed, or waits for its parameters, is one of the link: the device is as fast as it was', () => {
  const speed = deliver(Speed.measured(1000), 100, 100, 10);
  speed.missed({ samples: 100, elapsedMs: 900, computeMs: 100 });
  expect(speed).toMatchObject({ msPerSample: 1, exchangeMs: 800 });
  speed.missed({ samples: 100, elapsedMs: 3000, computeMs: 0 });
  expect(speed).toMatchObject({ msPerSample: 1, exchangeMs: 3000 });
  // Sooner than expected, as a quorum was there: no reason to expect less.
  speed.missed({ samples: 100, elapsedMs: 500, computeMs: 100 });
  expect(speed.exchangeMs).toBe(3000);
  expect(deliver(speed, 100, 100, 50).exchangeMs).toBe(50);
});

test('a task without parameters to receive tells of an exchange only until there was a whole one', () => {
  const speed = Speed.measured(1000);
  const without = (exchangeMs: number) => speed.delivered({ samples: 100, computeMs: 100, elapsedMs: 100 + exchangeMs, receives: false });
  without(10);
  expect(speed.exchangeMs).toBe(10);
  deliver(speed, 100, 100, 50);
  expect(speed.exchangeMs).toBe(50);
  without(10);
  without(10);
  expect(speed.exchangeMs).toBe(50);
});

test('what was measured is no faster for a try: hope is for the order in which it comes', () => {
  const speed = deliver(Speed.measured(1000), 100, 100, 10);
  for (let i = 0; i < 20; i++) speed.idled();
  expect(speed).toMatchObject({ hope: 1.05 ** 20, expectedGain: 1 });
  speed.retry();
  expect(expectedMs(speed, 100)).toBe(110);
});

test('an exchange is expected to be longer the more groups take part, by what the line was found to make of it', () => {
  const line = new SharedLine();
  const speed = Speed.measured(1000, line);
  const round = (groups: number, exchangeMs: number) => {
    line.groups = groups;
    deliver(speed, 100, 100, exchangeMs);
    line.settle();
  };
  for (let i = 0; i < 10; i++) round(20, 420);
  expect(speed).toMatchObject({ exchangeMs: 420, ownExchangeMs: 420 });
  round(5, 120);
  expect(line.msEach).toBe(20);
  expect(speed).toMatchObject({ exchangeMs: 120, ownExchangeMs: 20 });
  expect(roundTimes([{ id: 'a', speed }])).toEqual([{ node: 'a', fixedMs: 20, msPerSample: 1 }]);
  line.groups = 10;
  expect(expectedMs(speed, 100)).toBe(320);
  // What rounds of about as many took counts for more than what the line makes of others.
  round(10, 250);
  line.groups = 11;
  expect(expectedMs(speed, 100)).toBe(100 + 250 + line.msEach);
});

test('local steps measure the device, not the exchange', () => {
  const speed = Speed.measured(1000);
  speed.stepped(1000, 500);
  expect(speed.msPerSample).toBe(0.5);
  expect(speed.exchangeMs).toBeUndefined();
});

test('an exchange that was never measured is taken to be like the others', () => {
  const known = { id: 'a', speed: deliver(Speed.measured(1000), 100, 100, 50) };
  const [, b] = roundTimes([known, { id: 'b', speed: Speed.measured(500) }]);
  expect(b).toEqual({ node: 'b', fixedMs: 50, msPerSample: 2 });
  expect(roundTimes([{ id: 'b', speed: Speed.measured(500) }])).toEqual([{ node: 'b', fixedMs: 0, msPerSample: 2 }]);
  const part = Speed.measured(1000);
  part.delivered({ samples: 100, computeMs: 100, elapsedMs: 105, receives: false });
  expect(roundTimes([known, { id: 'c', speed: part }])[1]!.fixedMs).toBe(5);
  expect(roundTimes([known, { id: 'c', speed: part }], true)[1]!.fixedMs).toBe(50);
});
