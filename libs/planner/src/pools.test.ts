import type { DeviceProfile, PlanRequest } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createPlan } from './create-plan.js';
import { CostModel } from './cost-model.js';
import { poolOf } from './pools.js';
import { recomputeChoices } from './recompute-choices.js';
import { equalLayers, REQUEST } from './testing/equal-layers.js';

const profile = equalLayers(4, { parameters: 1_000_000 });

const request: PlanRequest = { ...REQUEST, batch: 1024, microbatches: [1] };

const HALVES = [
  { start: 0, end: 2, recompute: false },
  { start: 2, end: 4, recompute: false },
];

function lanOf(count: number, device: (i: number) => Partial<DeviceProfile>, recompute: PlanRequest['recompute'] = 'never'): CostModel {
  const devices = Array.from({ length: count }, (_, i) => ({
    ...{ id: `d${i}`, name: `D${i}`, flopsPerSecond: 1e12, memoryBytes: 2 ** 30 },
    ...{ upBitsPerSecond: 1e9, downBitsPerSecond: 1e9, roundTripMs: 1 },
    ...device(i),
  }));
  const lans = [{ name: 'lan', devices: devices.map(({ id }) => id), bitsPerSecond: 1e10, roundTripMs: 0.1 }];
  return new CostModel(profile, { devices, lans, peers: [] }, { ...request, recompute });
}

const everybody = (model: CostModel) => model.cluster.devices.map((_, i) => i);

test('a slow device is moved to fast ones, which makes the poorest stage richer, only where that may be', () => {
  // Dealt 4 × 14 and 11 × 4 TFLOP/s; a swap and a move make them 50 and 50.
  const model = lanOf(15, (i) => ({ flopsPerSecond: i < 4 ? 14e12 : 4e12 }));
  const first = (slower: number) => poolOf(model, everybody(model), HALVES, 1, { alike: true, slower })![0]!.devices;
  expect(first(3)).toEqual([0, 1, 2, 3]);
  expect(first(Infinity).filter((i) => i < 4)).toHaveLength(3);
});

test('devices that keep more of a passing microbatch are not dealt as if they kept as little as others', () => {
  // Half of the layers take 2 × 1M × 16 bytes; microbatches, of which two are under way, 3 × 8 MB more.
  const model = lanOf(4, (i) => ({ memoryBytes: 40e6, stashFactor: i < 2 ? 1 : 40 }));
  const stages = poolOf(model, everybody(model), HALVES, 1, { alike: false, slower: Infinity })!;
  for (const [s, { start, end, devices }] of stages.entries())
    for (const device of devices) expect(model.memory.ofStage(device, start, end, 1, stages.length - s, false).total).toBeLessThanOrEqual(40e6);
  expect(stages.flatMap(({ devices }) => devices)).toContain(0);
});

/** Half of the layers take 32 MB, and 20 MB for each microbatch under way that is not computed again. */
const keeping = { stashFactor: 100 };

test('a stage that roomy devices can fill does not recompute because most devices would have to', () => {
  const model = lanOf(
    80,
    (i) => ({ ...keeping, ...(i < 20 ? { flopsPerSecond: 10e12 } : { flopsPerSecond: 1e12, memoryBytes: 60e6 }) }),
    'allowed',
  );
  const choices = recomputeChoices(model, everybody(model), HALVES, 1);
  expect(choices.map((ranges) => ranges.map(({ recompute }) => recompute))).toEqual([
    [true, true],
    [false, false],
  ]);
  const plan = createPlan(profile, model.cluster, { ...model.request, batch: 2 ** 17 });
  expect(plan.groups.flatMap(({ stages }) => stages.filter(({ recompute }) => recompute))).toEqual([]);
});

test('stages recompute only where some device has to, all when they shall, none when they may not, and hold who is dealt to them', () => {
  const device = fc.record({ flopsPerSecond: fc.constantFrom(1e12, 3e12, 10e12), memoryBytes: fc.constantFrom(40e6, 50e6, 60e6, 80e6) });
  const mode = fc.constantFrom<PlanRequest['recompute']>('never', 'allowed', 'always');
  fc.assert(
    fc.property(fc.array(device, { minLength: 2, maxLength: 12 }), mode, fc.boolean(), (devices, recompute, alike) => {
      const model = lanOf(devices.length, (i) => ({ ...keeping, ...devices[i] }), recompute);
      for (const ranges of recomputeChoices(model, everybody(model), HALVES, 1)) {
        for (const [s, range] of ranges.entries()) {
          const needs = everybody(model).map((i) => model.memory.recomputeFor(i, range.start, range.end, 1, ranges.length - s));
          if (recompute === 'always') expect(range.recompute).toBe(true);
          else if (range.recompute) expect(needs).toContain(true);
        }
        for (const [s, stage] of (poolOf(model, everybody(model), ranges, 1, { alike, slower: Infinity }) ?? []).entries())
          for (const i of stage.devices)
            expect(model.memory.ofStage(i, stage.start, stage.end, 1, ranges.length - s, stage.recompute).total).toBeLessThanOrEqual(
              devices[i]!.memoryBytes,
            );
      }
    }),
  );
});
