import { createRng } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Chains } from './chain.js';
import { CostModel } from './layout.js';
import { Pairs, pairUp } from './pairs.js';
import { samplesWithin } from './rounds.js';
import { equalLayers, REQUEST } from './testing/equal-layers.js';

const ROUND_MS = 60_000;

/** Homes of any speed and uplink, each with room for a part of the model. */
function homes(seed: number, count: number): CostModel {
  const rng = createRng(seed);
  const devices = Array.from({ length: count }, (_, i) => {
    const up = 1e6 * (1 + rng.below(100));
    const memoryBytes = (400 + rng.below(400)) * 1e6;
    return {
      id: `d${i}`,
      name: 'home',
      flopsPerSecond: 1e11 * (1 + rng.below(10)),
      memoryBytes,
      upBitsPerSecond: up,
      downBitsPerSecond: 6 * up,
      roundTripMs: 40,
    };
  });
  return new CostModel(equalLayers(6), { devices, lans: [], peers: [] }, REQUEST);
}

test('two devices are a chain with the cut at which they manage most', () => {
  let pairs = 0;
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const model = homes(seed, 2);
      const chains = new Chains(model, ROUND_MS);
      const found = chains.samplesOfTwo(0, 1);
      let most = 0;
      for (const [front, back] of [
        [0, 1],
        [1, 0],
      ] as const) {
        for (let cut = 1; cut < model.costs.blocks; cut++) {
          const needs = [
            model.recomputeFor(front, 0, cut, chains.microbatch, 2),
            model.recomputeFor(back, cut, model.costs.blocks, chains.microbatch, 1),
          ];
          if (!model.costs.canCut(cut) || needs.includes(undefined)) continue;
          const stages = [
            { start: 0, end: cut, devices: [front], recompute: needs[0]! },
            { start: cut, end: model.costs.blocks, devices: [back], recompute: needs[1]! },
          ];
          const cost = model.group({ microbatch: chains.microbatch, stages }, false);
          most = Math.max(most, samplesWithin(cost, ROUND_MS, REQUEST.stepsPerRound, 0));
        }
      }
      expect(found).toBeCloseTo(most, 6);
      if (found === 0) return;
      pairs++;
      const layout = chains.layoutOf(chains.ofTwo(0, 1));
      expect(samplesWithin(model.group(layout, false), ROUND_MS, REQUEST.stepsPerRound, 0)).toBeCloseTo(most, 6);
    }),
    { numRuns: 100 },
  );
  expect(pairs).toBeGreaterThan(20);
});

test('each device is in one pair or left, and no two pairs gain by exchanging partners', () => {
  let pairings = 0;
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 2, max: 12 }), (seed, count) => {
      const model = homes(seed, count);
      const chains = new Chains(model, ROUND_MS);
      const devices = Array.from({ length: count }, (_, i) => i);
      const { pairs, left } = pairUp(new Pairs(chains, devices));
      const members = pairs.map(({ stages }) => stages.map(({ device }) => device));
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
