import { expect, test } from 'vitest';
import { createPlan } from './create-plan.js';
import { syncFleetOf } from './sync-fleet.js';
import { equalLayers, REQUEST } from './testing/equal-layers.js';

const profile = equalLayers(4, { parameters: 100_000_000 });
const link = { upBitsPerSecond: 2e9, downBitsPerSecond: 1e9, roundTripMs: 1 };
const device = (id: string, gib: number, flopsPerSecond: number) => ({ id, name: id.toUpperCase(), flopsPerSecond, memoryBytes: gib * 2 ** 30, ...link });

test('each group of a plan has the time of its samples, and its workers the links and parameters that they exchange', () => {
  const devices = [device('big', 16, 2e12), device('a', 4, 1e12), device('b', 4, 1e12)];
  const lans = [{ name: 'lan', devices: ['a', 'b'], bitsPerSecond: 1e10, roundTripMs: 0.1 }];
  const cluster = { devices, lans, peers: [], server: { upBitsPerSecond: 1e10, downBitsPerSecond: 1e10 } };
  const plan = createPlan(profile, cluster, { ...REQUEST, stepsPerRound: 1000 });
  const { groups, server } = syncFleetOf(plan, profile, cluster);
  expect(server).toEqual(cluster.server);
  const [pipeline, solo] = ['a+b', 'big'].map((node) => groups.find((group) => group.node === node)!);
  expect(solo!.links).toEqual([{ name: 'BIG', values: 400_000_000, ...link }]);
  expect(pipeline!.links.map(({ name, values }) => [name, values])).toEqual([['A', 200_000_000], ['B', 200_000_000]]);
  for (const { kind, stepMs, samples } of plan.groups) {
    expect(groups.find(({ links }) => links.length === (kind === 'solo' ? 1 : 2))!.msPerSample).toBeCloseTo(stepMs / samples, 9);
  }
});
