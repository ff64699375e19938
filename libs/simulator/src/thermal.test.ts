import fc from 'fast-check';
import { expect, test } from 'vitest';
import { simulate } from './simulate.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';
import { Thermal } from './thermal.js';

const spec = fc.record({ fraction: fc.double({ min: 0.1, max: 1, noNaN: true }), timeConstantMs: fc.integer({ min: 1, max: 100_000 }) });
const stretch = fc.record({ load: fc.boolean(), ms: fc.integer({ min: 1, max: 20_000 }) });

test('what is worked off in the time that work takes is that work, whatever was before', () => {
  fc.assert(
    fc.property(spec, fc.array(stretch, { maxLength: 6 }), fc.integer({ min: 1, max: 100_000 }), (device, stretches, workMs) => {
      const thermal = new Thermal(device);
      let nowMs = 0;
      for (const { load, ms } of stretches) {
        nowMs += ms;
        if (load) thermal.work(nowMs);
        else thermal.rest(nowMs);
      }
      const takesMs = thermal.msFor(workMs);
      expect(takesMs).toBeGreaterThanOrEqual(workMs);
      expect(takesMs).toBeLessThanOrEqual((workMs / device.fraction) * (1 + 1e-9));
      expect(thermal.work(nowMs + takesMs) / workMs).toBeCloseTo(1, 6);
    }),
  );
});

test('the closed form is the sum of small steps of Newton’s law', () => {
  const thermal = new Thermal({ fraction: 0.6, timeConstantMs: 1000 });
  let [heat, work] = [0, 0];
  for (let i = 0; i < 100_000; i++) {
    work += 0.02 * (1 - 0.4 * heat);
    heat += (0.02 * (1 - heat)) / 1000;
  }
  expect(thermal.work(2000)).toBeCloseTo(work, 1);
});

test('a device under load slows down to its fraction, and a rest lets it be as fast again', async () => {
  const worker = { name: 'a', samplesPerSecond: 100, overheadMs: 0, thermal: { fraction: 0.5, timeConstantMs: 3000 } };
  const other = { name: 'b', samplesPerSecond: 100, overheadMs: 0 };
  const pause = { kind: 'pause', worker: 'a', atMs: 15_000, forMs: 10_000 } as const;
  const run = scenario({
    job: job({ train: { epochs: 10 }, validation: { everyEpochs: 100 }, sync: { deadlineFactor: 10 } }),
    fleet: [worker, other],
    faults: [pause],
  });
  const { events, fired } = await simulate(run);
  expect(fired).toContain(pause);
  const msASample = (name: string, fromMs: number) => {
    const own = eventsOf(events, 'contribution').find((one) => one.name === name && one.sentAtMs >= fromMs && one.samples > 0)!;
    return own.computeMs / own.samples;
  };
  expect(msASample('a', 0)).toBeLessThan(11);
  expect(msASample('a', 14_000)).toBeGreaterThan(18);
  expect(msASample('a', 25_000)).toBeLessThan(12);
  expect(msASample('b', 14_000)).toBeCloseTo(10, 6);
});
