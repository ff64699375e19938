import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RateBound, sparing } from './rate-bound.js';

it('lets through as many as it says in any window, whatever comes when', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.array(fc.nat({ max: 30 }), { maxLength: 200 }), (most, gaps) => {
      const bound = new RateBound(most, 100);
      let nowMs = 0;
      const passed = gaps.filter((gap) => bound.take((nowMs += gap)));
      expect(passed.length).toBeLessThanOrEqual(most * (Math.floor(nowMs / 100) + 1));
      expect(passed.length).toBeGreaterThanOrEqual(Math.min(most, gaps.length));
    }),
  );
});

it('tells how many reports it kept to itself', () => {
  const told: string[] = [];
  let nowMs = 0;
  const report = sparing((reason) => told.push(reason), () => nowMs);
  for (let i = 0; i < 1_000; i++) report('noise');
  expect(told).toEqual(Array.from({ length: 100 }, () => 'noise'));
  nowMs = 60_000;
  report('noise');
  report('noise');
  expect(told.slice(100)).toEqual(['noise (and 900 more before, not told one by one)', 'noise']);
});
