import type { DeviceProfile, MeasuredCluster, Rng } from '@longtail/core';
import { createRng } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { UpperBound } from './bound.js';
import { bruteForceRoundMs } from './brute-force.js';
import { CostModel } from './cost-model.js';
import { randomInstance } from './random-instance.js';
import { samplesWithin } from './rounds.js';
import { search } from './search.js';
import { equalLayers, REQUEST } from './testing/equal-layers.js';

const FOUR_DEVICES = { devices: 4, blocks: 4 };
const TEN_DEVICES = { devices: 10, blocks: 6 };

/** Than the least round: prices are for rounds up to that. */
const LONGER = 1.02;

/** The same devices: as they are, all in one LAN, each by itself, or some in an office and the others at home. */
const SHAPES: readonly ((cluster: MeasuredCluster) => MeasuredCluster)[] = [
  (cluster) => cluster,
  (cluster) => ({
    ...cluster,
    lans: [{ name: 'office', devices: cluster.devices.map(({ id }) => id), bitsPerSecond: 1e9, roundTripMs: 0.5 }],
    peers: [],
  }),
  (cluster) => ({ ...cluster, lans: [], peers: [] }),
  (cluster) => ({
    ...cluster,
    lans: [{ name: 'office', devices: cluster.devices.slice(0, 2).map(({ id }) => id), bitsPerSecond: 1e9, roundTripMs: 0.5 }],
    peers: [],
  }),
];

/** With blocks that were timed on each device, some of them no longer than the call that they came with. */
function timed(cluster: MeasuredCluster, blocks: number, rng: Rng): MeasuredCluster {
  const times = () => Array.from({ length: blocks }, () => 1 + rng.below(3));
  const devices = cluster.devices.map((device) => ({
    ...device,
    blockTimes: [{ microbatch: 1, forwardMs: times(), backwardMs: times(), forwardCallMs: 1, backwardCallMs: 1 }],
  }));
  return { ...cluster, devices };
}

test('no layout has a shorter round, be samples whole or not, blocks timed or not, devices of a LAN priced or not', () => {
  let priced = 0;
  fc.assert(
    fc.property(fc.nat(), fc.constantFrom(...SHAPES), fc.boolean(), fc.boolean(), fc.boolean(), (seed, shape, whole, isTimed, isPriced) => {
      const { profile, cluster, request } = randomInstance(createRng(seed), FOUR_DEVICES.devices, FOUR_DEVICES.blocks);
      const known = isTimed ? timed(cluster, profile.blocks.length, createRng(seed + 1)) : cluster;
      const model = new CostModel(profile, { ...shape(known), server: undefined }, request);
      const bound = new UpperBound(model);
      const scenarios = [true, false].map((alone) => ({ alone, maxUploads: Infinity, sharedMs: 0 }));
      const leastMs = bruteForceRoundMs(model, whole);
      if (isPriced && leastMs < Infinity) priced += bound.price(model.links.components(), LONGER * leastMs).direct.size;
      const boundMs = Math.min(...scenarios.map((scenario) => bound.roundMs(scenario, request.batch, { whole })));
      expect(boundMs).toBeGreaterThan(0);
      expect(boundMs).toBeLessThanOrEqual(leastMs * (1 + 1e-6));
    }),
    { numRuns: 500 },
  );
  expect(priced).toBeGreaterThan(10);
});

test('where replicas sum at each step and the round ends with a slow exchange, devices have credit for what they manage', () => {
  const device = (index: number): DeviceProfile => ({
    id: `d${index}`,
    name: `d${index}`,
    flopsPerSecond: index % 2 === 0 ? 4e12 : 1e12,
    memoryBytes: 1e12,
    upBitsPerSecond: index % 2 === 0 ? 2e7 : 1e9,
    downBitsPerSecond: 1e10,
    roundTripMs: 0,
  });
  const devices = Array.from({ length: 20 }, (_, i) => device(i));
  const profile = equalLayers(10, { parameters: 1_000_000, outputBytes: 100_000 });
  const lans = [{ name: 'office', devices: devices.map(({ id }) => id), bitsPerSecond: 1e9, roundTripMs: 0 }];
  const model = new CostModel(profile, { devices, lans, peers: [] }, { ...REQUEST, batch: 4096, microbatches: [1], stepsPerRound: 10 });
  const stages = profile.blocks.map((_, i) => ({ start: i, end: i + 1, devices: [2 * i, 2 * i + 1], recompute: false }));
  const cost = model.group({ microbatch: 1, stages }, false);
  const leastMs = cost.tailMs + 10 * (cost.fillMs + cost.periodMs);
  for (const roundMs of [1.01, 2, 5, 25].map((times) => times * leastMs)) {
    const credits = new UpperBound(model).credits(roundMs);
    const samples = samplesWithin(cost, roundMs, 10, 0);
    expect(samples).toBeGreaterThan(0);
    expect(samples).toBeLessThanOrEqual(credits.reduce((sum, credit) => sum + credit, 0));
  }
});

test('a device whose blocks take no time beside the call is a hop away from the others all the same', () => {
  const times = (forwardMs: readonly number[], backwardMs: readonly number[]) => [{ microbatch: 4, forwardMs, backwardMs, forwardCallMs: 1, backwardCallMs: 1 }];
  const device = (id: string, memoryBytes: number, blockTimes: DeviceProfile['blockTimes']): DeviceProfile => ({
    id,
    name: id,
    flopsPerSecond: 1e12,
    memoryBytes,
    upBitsPerSecond: 1e6,
    downBitsPerSecond: 1e8,
    roundTripMs: 40,
    blockTimes,
  });
  const devices = [device('a', 300e6, times([2, 2], [2, 2])), device('b', 200e6, times([2, 1], [2, 1]))];
  const [large, small] = [equalLayers(1, { parameters: 15_000_000 }), equalLayers(1)];
  const profile = { ...large, blocks: [...large.blocks, ...small.blocks] };
  const model = new CostModel(profile, { devices, lans: [], peers: [] }, REQUEST);
  const alone = { alone: true, maxUploads: Infinity, sharedMs: 0 };
  const roundMs = bruteForceRoundMs(model);
  expect(roundMs).toBeLessThan(Infinity);
  expect(new UpperBound(model).roundMs(alone, REQUEST.batch)).toBeLessThanOrEqual(roundMs);
});

test('no group manages more than the credits of its members', () => {
  let groups = 0;
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const { profile, cluster, request } = randomInstance(createRng(seed), TEN_DEVICES.devices, TEN_DEVICES.blocks);
      const model = new CostModel(profile, { ...cluster, server: undefined }, request);
      const { solution } = search(model);
      if (solution === undefined) return;
      for (const longer of [1, 2, 10]) {
        const roundMs = longer * solution.roundMs;
        const bound = new UpperBound(model);
        bound.price(model.links.components(), roundMs);
        const credits = bound.credits(roundMs);
        for (const { layout } of solution.groups) {
          groups++;
          const samples = samplesWithin(model.group(layout, false), roundMs, request.stepsPerRound, 0);
          const members = layout.stages.flatMap(({ devices }) => devices);
          expect(samples).toBeLessThanOrEqual(members.reduce((sum, device) => sum + credits[device]!, 0) * (1 + 1e-9));
        }
      }
    }),
    { numRuns: 30 },
  );
  expect(groups).toBeGreaterThan(30);
});
