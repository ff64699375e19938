import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Interrupts } from './interrupts.js';
import { Pacer } from './pacer.js';

it('stretches any work to 1/pace of its time', async () => {
  await fc.assert(
    fc.asyncProperty(fc.double({ min: 0.01, max: 1, noNaN: true }), fc.array(fc.integer({ min: 0, max: 500 })), async (pace, tasks) => {
      let nowMs = 1000;
      const pacer = new Pacer(pace, { pause: (ms) => void (nowMs += ms) }, () => nowMs);
      for (const ms of tasks) await pacer.run(async () => void (nowMs += ms));
      expect(nowMs - 1000).toBeCloseTo(tasks.reduce((sum, ms) => sum + ms, 0) / pace, 3);
    }),
  );
});

it('rests after work until both have taken as long as they are to last', async () => {
  let nowMs = 0;
  const pacer = new Pacer(1, { pause: (ms) => void (nowMs += ms) }, () => nowMs);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 500 }), async (ms, workMs) => {
      const startMs = nowMs;
      expect(await pacer.last(ms, async () => (nowMs += workMs))).toBe(startMs + workMs);
      expect(nowMs - startMs).toBe(Math.max(ms, workMs));
    }),
  );
});

it('does not rest at full pace', async () => {
  const pacer = new Pacer(1, {
    pause: () => {
      throw new Error('rested');
    },
  });
  expect(await pacer.run(async () => 7)).toBe(7);
});

it('cuts the rest short on an abort', () => {
  const interrupts = new Interrupts();
  interrupts.abort();
  const startMs = performance.now();
  interrupts.pause(60_000);
  expect(performance.now() - startMs).toBeLessThan(1000);
  expect(() => interrupts.throwIfAborted()).toThrow('');
  interrupts.clear();
  expect(interrupts.aborted).toBe(false);
});
