import type { VectorRange } from '@longtail/core';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Anchor } from './anchor.js';

const LENGTH = 8;
/** Small whole numbers, so that sums are exact. */
const vector = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: LENGTH, maxLength: LENGTH }).map((values) => Float32Array.from(values));
const part = fc.tuple(fc.nat(LENGTH), fc.nat(LENGTH)).map(([a, b]) => ({ start: Math.min(a, b), length: Math.abs(a - b) }));
const event = fc.oneof(
  fc.record({ what: fc.constant('step' as const), by: vector }),
  fc.record({ what: fc.constant('take' as const), part }),
  fc.record({ what: fc.constant('mix' as const), part, server: vector }),
);

function mix(anchor: Anchor, parameters: Float32Array, server: Float32Array, part: VectorRange, mixing: number): void {
  const added = new Float32Array(LENGTH);
  anchor.mix(server, added, part, mixing);
  for (let i = 0; i < parameters.length; i++) parameters[i]! += added[i]!;
}

it('every step is part of one move, whatever comes from the server between steps', () => {
  fc.assert(
    fc.property(vector, fc.array(event, { maxLength: 30 }), (initial, events) => {
      const parameters = initial.slice();
      const anchor = new Anchor(parameters);
      const [stepped, moved, move] = [new Float32Array(LENGTH), new Float32Array(LENGTH), new Float32Array(LENGTH)];
      const everything = { start: 0, length: LENGTH };
      const take = (range: { start: number; length: number }) => {
        anchor.takeMove(parameters, move, range);
        for (let i = range.start; i < range.start + range.length; i++) moved[i]! += move[i]!;
      };
      for (const one of events) {
        if (one.what === 'step') {
          for (let i = 0; i < LENGTH; i++) parameters[i]! += one.by[i]!;
          for (let i = 0; i < LENGTH; i++) stepped[i]! += one.by[i]!;
        } else if (one.what === 'take') take(one.part);
        else mix(anchor, parameters, one.server, one.part, 0);
      }
      take(everything);
      expect([...moved]).toEqual([...stepped].map((value) => 0 - value));
    }),
  );
});

it('mixes what comes with what was stepped since the move was taken, in the part named', () => {
  const parameters = Float32Array.of(10, 10, 10);
  const anchor = new Anchor(parameters);
  const move = new Float32Array(3);
  parameters.fill(14);
  anchor.takeMove(parameters, move, { start: 0, length: 2 });
  expect([...move]).toEqual([-4, -4, 0]);
  parameters.fill(15);
  mix(anchor, parameters, Float32Array.of(20, 20, 20), { start: 0, length: 1 }, 0.5);
  expect([...parameters]).toEqual([18, 15, 15]); // half of 15, half of 20 + 1
  anchor.takeMove(parameters, move, { start: 0, length: 3 });
  expect([...move]).toEqual([2, -1, -5]);
  anchor.moveTo(Float32Array.of(1, 1, 1));
  anchor.takeMove(Float32Array.of(0, 1, 2), move, { start: 0, length: 3 });
  expect([...move]).toEqual([1, 0, -1]);
});
