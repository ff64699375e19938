import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Chains } from './chain.js';
import { samplesWithin } from './rounds.js';
import { REQUEST } from './testing/equal-layers.js';
import { homes } from './testing/homes.js';

const ROUND_MS = 60_000;

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
            model.memory.recomputeFor(front, 0, cut, chains.microbatch, 2),
            model.memory.recomputeFor(back, cut, model.costs.blocks, chains.microbatch, 1),
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
