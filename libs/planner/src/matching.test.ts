import { createRng } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Chains } from './chain.js';
import { matchUp } from './matching.js';
import { Pairs } from './pairs.js';
import { homes } from './testing/homes.js';

const ROUND_MS = 60_000;

test('each device is in one pair or left, and no two pairs gain by exchanging partners', () => {
  let pairings = 0;
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 2, max: 12 }), (seed, count) => {
      const chains = new Chains(homes(seed, count), ROUND_MS);
      const devices = Array.from({ length: count }, (_, i) => i);
      const { matched, left } = matchUp(new Pairs(chains, devices));
      const members = matched.map(({ stages }) => stages.map(({ device }) => device));
      expect([...members.flat(), ...left].sort((a, b) => a - b)).toEqual(devices);
      const whole = (a: number, b: number) => Math.floor(chains.samplesOfTwo(a, b) + 1e-9);
      for (const [i, [a, b]] of members.entries()) {
        for (const [c, d] of members.slice(i + 1)) {
          const now = whole(a!, b!) + whole(c!, d!);
          expect(whole(a!, c!) + whole(b!, d!)).toBeLessThanOrEqual(now);
          expect(whole(a!, d!) + whole(b!, c!)).toBeLessThanOrEqual(now);
          pairings++;
        }
      }
    }),
    { numRuns: 100 },
  );
  expect(pairings).toBeGreaterThan(20);
});

test('sets of three are taken where that is a gain, and only there', () => {
  let better = 0;
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 3, max: 12 }), (seed, count) => {
      // Some pairs hold the model, any three do.
      const chains = new Chains(homes(seed, count, 320), ROUND_MS);
      const devices = Array.from({ length: count }, (_, i) => i);
      const pairs = new Pairs(chains, devices);
      const rng = createRng(seed);
      const sets = Array.from({ length: 20 }, () => [...devices].sort(() => rng.uniform() - 0.5).slice(0, 3));
      const total = ({ matched }: ReturnType<typeof matchUp>) => matched.reduce((sum, { samples }) => sum + Math.floor(samples + 1e-9), 0);
      const [without, found] = [matchUp(pairs), matchUp(pairs, sets)];
      const members = found.matched.map(({ stages }) => stages.map(({ device }) => device));
      expect([...members.flat(), ...found.left].sort((a, b) => a - b)).toEqual(devices);
      expect(total(found)).toBeGreaterThanOrEqual(total(without));
      if (total(found) > total(without)) {
        better++;
        expect(members.some(({ length }) => length === 3)).toBe(true);
      }
    }),
    { numRuns: 100 },
  );
  expect(better).toBeGreaterThan(20);
});
