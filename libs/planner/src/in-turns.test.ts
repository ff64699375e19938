import type { DeviceProfile, PlanRequest } from '@longtail/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createPlan } from './create-plan.js';
import { estimateMakespan } from './makespan.js';
import { planLayout } from './plan-layout.js';
import { equalLayers, REQUEST } from './testing/equal-layers.js';

const MIB = 2 ** 20;

const profile = (blocks: number) => equalLayers(blocks, { parameters: MIB, outputBytes: 1000 });
const request: PlanRequest = {
  ...REQUEST,
  batch: 32,
  parameterVectors: 2,
  gradientVectors: 3,
  optimizer: 'server',
  recompute: 'allowed',
  schedule: 'interleaved',
};
const device = (id: string, mebibytes: number, flopsPerSecond = 1e12): DeviceProfile => ({
  id,
  name: id.toUpperCase(),
  flopsPerSecond,
  memoryBytes: mebibytes * MIB,
  upBitsPerSecond: 1e10,
  downBitsPerSecond: 1e10,
  roundTripMs: 0.1,
});
const cluster = (devices: readonly DeviceProfile[]) => ({
  devices,
  lans: [{ name: 'lan', devices: devices.map(({ id }) => id), bitsPerSecond: 1e11, roundTripMs: 0.01 }],
  peers: [],
});

test('the estimate is the closed form on equal stages', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 8 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 64 }), (p, v, m) => {
      const stage = { forwardMs: 1, backwardMs: 2, inputGradientMs: 1, activationHopMs: 0, gradientHopMs: 0 };
      const stages = Array.from({ length: p * v }, () => stage);
      const { makespanMs } = estimateMakespan(stages, m, [], { schedule: v > 1 ? 'interleaved' : '1f1b', chunks: v });
      // F + B of a worker's whole: 3 v.
      expect(makespanMs).toBeCloseTo(m * 3 * v + (p - 1) * 3, 9);
    }),
  );
});

describe('asked for interleaved', () => {
  test('devices that hold no model between a few take several stages each, in turn, and are done sooner than with one', () => {
    const fleet = cluster([device('a', 120), device('b', 120)]);
    const plan = createPlan(profile(8), fleet, request);
    const [group] = plan.groups;
    expect(group).toMatchObject({ schedule: 'interleaved', kind: 'pipeline' });
    expect(group!.stages.map(({ devices }) => devices.map(({ device }) => device))).toEqual(expect.arrayContaining([['a'], ['b']]));
    expect(group!.stages.length).toBeGreaterThan(2);
    expect(group!.stepMs).toBeLessThan(createPlan(profile(8), fleet, { ...request, schedule: 'capped-1f1b' }).groups[0]!.stepMs);
    expect(plan.notes).toContain('pipelines run the schedule interleaved');
  });

  test('stages cover the model in order, workers take turns, and memory is within the offer', () => {
    const speeds = fc.array(fc.double({ min: 0.3, max: 3, noNaN: true }), { minLength: 2, maxLength: 4 });
    fc.assert(
      fc.property(speeds, fc.integer({ min: 4, max: 12 }), fc.integer({ min: 60, max: 150 }), (factors, blocks, mebibytes) => {
        const fleet = cluster(factors.map((factor, i) => device(`d${i}`, mebibytes, factor * 1e12)));
        let plan;
        try {
          plan = createPlan(profile(blocks), fleet, request);
        } catch {
          return; // nothing fits
        }
        for (const { stages, schedule } of plan.groups) {
          expect(stages[0]!.blocks.start).toBe(0);
          expect(stages.at(-1)!.blocks.end).toBe(blocks);
          stages.slice(1).forEach(({ blocks: { start } }, i) => expect(start).toBe(stages[i]!.blocks.end));
          for (const { devices } of stages)
            for (const { memory, offeredBytes } of devices) expect(memory.total).toBeLessThanOrEqual(offeredBytes);
          const order = stages.map(({ devices }) => devices.map(({ device: id }) => id).join());
          const workers = new Set(order).size;
          order.forEach((id, i) => expect(id).toBe(order[i % workers]));
          expect(schedule === 'interleaved').toBe(workers < order.length);
        }
      }),
      { numRuns: 20 },
    );
  });
});

test('a layout in turns: what a device holds is counted together, times and bytes stage by stage', () => {
  const tied = [{ name: 'table', parameters: 3 * MIB }];
  const { blocks, ...rest } = profile(4);
  const model = { ...rest, blocks: blocks.map((block, i) => (i % 2 === 0 ? { ...block, tied } : block)) };
  const stages = [0, 1, 0, 1].map((worker, i) => ({ start: i, end: i + 1, devices: [worker], recompute: false }));
  const plan = planLayout(model, cluster([device('a', 500), device('b', 500)]), request, [{ microbatch: 4, stages }]);
  const [first, second, third] = plan.groups[0]!.stages.map(({ devices }) => devices[0]!);
  expect(plan.method).toBe('given');
  // Two stages of one layer and a copy of the table each.
  expect(first!.memory.parameters).toBe(2 * 4 * 2 * 4 * MIB);
  expect(first!.memory).toEqual(third!.memory);
  expect(second!.memory.parameters).toBe(2 * 4 * 2 * MIB);
  // Interleaved 1F1B holds (v − 1) p + 2 (p − 1 − r) + 1 stashes.
  expect(plan.groups[0]!.stages.map(({ stashCap }) => stashCap)).toEqual([5, 3, 5, 3]);
  expect(first!.forwardMs).toBeCloseTo(4, 9);
  // Of an exchange: the table travels once, with the first stage that has it.
  expect(first!.bytesUpPerRound - third!.bytesUpPerRound).toBeCloseTo(4 * 3 * MIB - 32 * 1000, 3);
});
