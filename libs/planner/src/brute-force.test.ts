import { createRng } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bruteForceRoundMs } from './brute-force.js';
import { CostModel } from './cost-model.js';
import { randomInstance } from './random-instance.js';
import { search } from './search.js';

const FIVE_DEVICES = { devices: 5, blocks: 4 };

test('the search finds what brute force finds', () => {
  let feasible = 0;
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const { profile, cluster, request } = randomInstance(createRng(seed), FIVE_DEVICES.devices, FIVE_DEVICES.blocks);
      const model = new CostModel(profile, cluster, request);
      const { solution, exact } = search(model);
      const best = bruteForceRoundMs(model);
      expect(exact).toBe(true);
      if (solution === undefined) {
        expect(best).toBe(Infinity);
        return;
      }
      feasible++;
      expect(solution.roundMs / best).toBeCloseTo(1, 6);
    }),
    { numRuns: 60 },
  );
  expect(feasible).toBeGreaterThan(20);
});
