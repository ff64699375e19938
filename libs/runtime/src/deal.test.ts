import type { Action } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { deal } from './deal.js';

/** Passes of a stage that runs `ahead` forwards ahead; backward whole or in halves. */
function passesOf(microbatches: number, ahead: number, halves = false): Action[] {
  const list: Action[] = [];
  for (let i = 0; i < microbatches + ahead; i++) {
    if (i < microbatches) list.push({ op: 'F', stage: 1, microbatch: i });
    if (i < ahead) continue;
    for (const op of halves ? (['I', 'W'] as const) : (['B'] as const)) list.push({ op, stage: 1, microbatch: i - ahead });
  }
  return list;
}

const speeds = fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 1, maxLength: 6 });

test('with room enough, shares are in proportion to the speeds', () => {
  fc.assert(
    fc.property(speeds, fc.nat(300), (of, count) => {
      const dealt = deal(
        passesOf(count, count),
        of.map((speed) => ({ speed, room: count })),
      );
      expect(dealt).toHaveLength(count);
      const together = of.reduce((sum, speed) => sum + speed, 0);
      for (const [replica, speed] of of.entries()) {
        const share = dealt.filter((taker) => taker === replica).length;
        expect(Math.abs(share - (count * speed) / together)).toBeLessThan(of.length);
      }
    }),
  );
});

test('nobody is dealt more than it has room for, and all is dealt', () => {
  const replicas = fc.array(fc.record({ speed: fc.double({ min: 0.01, max: 100, noNaN: true }), room: fc.integer({ min: 1, max: 4 }) }), {
    minLength: 1,
    maxLength: 5,
  });
  fc.assert(
    fc.property(replicas, fc.nat(60), fc.boolean(), fc.double({ min: 0, max: 1, noNaN: true }), (of, count, halves, part) => {
      const room = of.reduce((sum, replica) => sum + replica.room, 0);
      const passes = passesOf(count, Math.floor(part * (room - 1)), halves);
      const dealt = deal(passes, of);
      const held = of.map(() => 0);
      for (const { op, microbatch } of passes) {
        if (op === 'F') expect(++held[dealt[microbatch]!]!).toBeLessThanOrEqual(of[dealt[microbatch]!]!.room);
        else if (op !== 'I') held[dealt[microbatch]!]!--;
      }
      expect(dealt.filter((taker) => taker in of)).toHaveLength(count);
    }),
  );
});

test('equal replicas take turns, the first one first', () => {
  const equal = [1, 2, 3].map(() => ({ speed: 2, room: 9 }));
  expect(deal(passesOf(7, 2), equal)).toEqual([0, 1, 2, 0, 1, 2, 0]);
});
