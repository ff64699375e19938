import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FreeRanges } from './free-ranges.js';

it('never gives a number twice, and has everything again when all was given back', () => {
  const steps = fc.array(fc.record({ length: fc.integer({ min: 1, max: 30 }), gives: fc.nat(9) }), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (steps) => {
      const free = new FreeRanges(1, 101);
      const taken: { start: number; length: number }[] = [];
      for (const { length, gives } of steps) {
        const start = free.take(length);
        if (start !== undefined) {
          expect(start >= 1 && start + length <= 101).toBe(true);
          expect(taken.every((other) => start + length <= other.start || other.start + other.length <= start)).toBe(true);
          taken.push({ start, length });
        }
        for (const other of taken.splice(0, gives % 3)) free.give(other.start, other.length);
      }
      for (const { start, length } of taken) free.give(start, length);
      expect(free.take(100)).toBe(1);
    }),
  );
});
