import type { MeasuredCluster, PlanRequest } from '@longtail/core';
import { createPlan } from '@longtail/planner';
import { expect, it } from 'vitest';
import { NO_COLORS } from './colors.js';
import { planLines } from './plan.js';

const profile = {
  name: 'pair',
  inputBytes: 1000,
  blocks: ['front', 'back'].map((name) => ({
    name,
    parameters: 1e8,
    tied: [],
    forwardFlops: 1e9,
    backwardFlops: 2e9,
    outputBytes: 1000,
    stashBytes: 1e5,
    cutAfter: true,
  })),
};
const request: PlanRequest = {
  batch: 64,
  stepsPerRound: 1,
  microbatches: [4],
  stateBytesPerParameter: 8,
  upBitsPerValue: 32,
  downBitsPerValue: 32,
  activationBits: 32,
  recompute: 'never',
  schedule: 'capped-1f1b',
  workspaceBytes: 0,
};
const link = { upBitsPerSecond: 1e9, downBitsPerSecond: 1e9, roundTripMs: 1 };
const device = (id: string, gib: number) => ({ id, name: `card ${id}`, flopsPerSecond: 1e12, memoryBytes: gib * 2 ** 30, ...link });
const cluster: MeasuredCluster = {
  devices: [device('a', 2), device('b', 2), device('c', 1)],
  lans: [{ name: 'lan', devices: ['a', 'b'], bitsPerSecond: 1e10, roundTripMs: 0.1 }],
  peers: [],
};

it('says how fast, who does what and why, and who is left out and why', () => {
  const lines = planLines(createPlan(profile, cluster, request), NO_COLORS);
  const text = lines.join('\n');
  expect(lines[0]).toBe('pair: 1 pipeline');
  expect(lines[1]).toMatch(/^\d+ samples\/s, a step of 64 samples \d+ ms; a round moves .* up, .* down$/);
  expect(text).toMatch(/1\.1 +front +a card a +100\.0 % +1 +16 × 4 +1\.5 GiB +2\.0 GiB/);
  expect(text).toContain('1.1: 100M parameters, 1.5 GiB of 2.0 GiB; 12 ms of the 12 ms between microbatches; back too would need at least 3.0 GiB');
  expect(text).toMatch(/left out 1 of 3\n {2}c, card c: needs 3\.0 GiB for the whole model, has 1\.0 GiB; /);
});
