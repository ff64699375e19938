import type { DeviceProfile, MeasuredCluster, PlanRequest } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createPlan } from './create-plan.js';
import type { ReplanDecision } from './replan.js';
import { considerReplan } from './replan.js';
import { equalLayers, REQUEST } from './testing/equal-layers.js';

const profile = equalLayers(6);

const request: PlanRequest = { ...REQUEST, batch: 256 };

/** Devices of these speeds that hold four of the six blocks, in one LAN. */
function cluster(speeds: readonly number[]): MeasuredCluster {
  const devices = speeds.map((speed, i): DeviceProfile => ({
    id: `d${i}`,
    name: `device ${i}`,
    flopsPerSecond: 1e12 * speed,
    memoryBytes: 0.75 * 2 ** 30,
    upBitsPerSecond: 1e9,
    downBitsPerSecond: 1e9,
    roundTripMs: 1,
  }));
  return { devices, lans: [{ name: 'lan', devices: devices.map(({ id }) => id), bitsPerSecond: 1e10, roundTripMs: 0.1 }], peers: [] };
}

const HORIZON_MS = 600_000;

/** Asks every 10 seconds, as a server would, and follows the advice. */
function live(speedsAt: readonly (readonly number[])[], start: readonly number[]): readonly ReplanDecision[] {
  let current = createPlan(profile, cluster(start), request);
  let settles: ReplanDecision['settles'];
  return speedsAt.map((speeds, i) => {
    const decision = considerReplan({
      current,
      profile,
      cluster: cluster(speeds),
      request,
      nowMs: 10_000 * i,
      horizonMs: HORIZON_MS,
      settles,
    });
    current = decision.plan ?? current;
    settles = decision.settles;
    return decision;
  });
}

const moves = (decisions: readonly ReplanDecision[]) => decisions.filter(({ plan }) => plan !== undefined).length;

test('noise within a fifth never moves anything', () => {
  const noise = fc.array(fc.double({ min: 0.84, max: 1.19, noNaN: true }), { minLength: 3, maxLength: 3 });
  fc.assert(
    fc.property(fc.array(noise, { maxLength: 12 }), (speeds) => {
      expect(moves(live(speeds, [1, 1, 1]))).toBe(0);
    }),
    { numRuns: 30 },
  );
});

test('a device that slows down for good moves stages once, with its reason in figures', () => {
  const decisions = live(
    Array.from({ length: 8 }, () => [1, 0.3, 1]),
    [1, 1, 1],
  );
  expect(moves(decisions)).toBe(1);
  expect(decisions[0]!.reason).toMatch(/^device 1 is \d+ % slower; [\d.]+ → [\d.]+ samples\/s for .* moved in .* pays within 10 min 0 s$/);
  expect(decisions[1]!.reason).toBe('every rate is within 20 % of the plan');
});

test('whatever the rates do, it moves at most twice a horizon', () => {
  const speeds = fc.array(fc.constantFrom(0.2, 0.5, 1, 2, 4), { minLength: 3, maxLength: 3 });
  fc.assert(
    fc.property(fc.array(speeds, { maxLength: 30 }), (list) => {
      expect(moves(live(list, [1, 1, 1]))).toBeLessThanOrEqual(2 * Math.ceil((10_000 * list.length) / HORIZON_MS));
    }),
    { numRuns: 30 },
  );
});

test('after a move who falls to less than half of what it was made for moves stages, but once; who falls by less waits, and who is faster does', () => {
  const slow = [1, 0.3, 1];
  const since = (speeds: readonly number[], times = 4) => live([slow, ...Array.from({ length: times }, () => speeds), slow, [0.1, 0.3, 1]], [1, 1, 1]);
  const after = since([0.2, 0.3, 1]);
  expect(after.flatMap(({ plan }, i) => (plan === undefined ? [] : [i]))).toEqual([0, 1]);
  expect(after[1]!.reason).toMatch(/^device 0 is 80 % slower; .* pays within/);
  expect(after.map(({ settles }) => settles?.firmly)).toEqual([false, ...Array.from({ length: 6 }, () => true)]);
  for (const speeds of [[0.6, 0.3, 1], [4, 0.3, 1]]) {
    const [, second] = since(speeds);
    expect(second).toMatchObject({ plan: undefined, changed: true });
    expect(second!.reason).toMatch(/but the last move settles for another 9 min 50 s$/);
  }
});

test('what does not pay within the horizon is not done, and says so', () => {
  const current = createPlan(profile, cluster([1, 1, 1]), request);
  const decision = considerReplan({
    current,
    profile,
    cluster: cluster([1, 0.3, 1]),
    request,
    nowMs: 0,
    horizonMs: 2000,
    settles: undefined,
  });
  expect(decision.plan).toBeUndefined();
  expect(decision.reason).toMatch(/does not pay within 2\.0 s$/);
});

test.each([0, 300])('with %i ms left, less than any move takes, no other layout is looked for', (horizonMs) => {
  const current = createPlan(profile, cluster([1, 1, 1]), request);
  const decision = considerReplan({
    current,
    profile,
    cluster: cluster([1, 0.3, 1]),
    request,
    nowMs: 0,
    horizonMs,
    settles: undefined,
    setupMs: 500,
    makespanOf: () => expect.unreachable(),
  });
  expect(decision).toMatchObject({ plan: undefined, changed: true });
  expect(decision.reason).toMatch(/^device 1 is \d+ % slower; but the run ends before a move would: that takes at least [\d.]+ m?s$/);
});

test('where the groups stand as they would be laid out now, that is what is said, and not that moving nothing does not pay', () => {
  const current = createPlan(profile, cluster([1, 1, 1]), request);
  const decision = considerReplan({ current, profile, cluster: cluster([0.5, 0.5, 0.5]), request, nowMs: 0, horizonMs: HORIZON_MS, settles: undefined });
  expect(decision).toMatchObject({ plan: undefined, changed: true, movingMs: 0, movingBytes: 0 });
  expect(decision.reason).toMatch(/^device 0 is 50 % slower, device 1 is 50 % slower, device 2 is 50 % slower; but no other layout is faster than its [\d.]+ samples\/s$/);
});

test('a group that lost a device is laid out anew, settled or not', () => {
  const current = createPlan(profile, cluster([1, 1, 1]), request);
  const decision = considerReplan({
    current,
    profile,
    cluster: cluster([1, 1]),
    request,
    nowMs: 0,
    horizonMs: HORIZON_MS,
    settles: { untilMs: 1e9, firmly: true },
  });
  expect(decision.plan!.groups.flatMap(({ stages }) => stages.flatMap(({ devices }) => devices.map(({ device }) => device)))).not.toContain(
    'd2',
  );
  expect(decision.reason).toMatch(/^device 2 left; no group is whole/);
});

test('a device that joins is taken in where that pays', () => {
  const current = createPlan(profile, cluster([1, 1]), request);
  const decision = considerReplan({
    current,
    profile,
    cluster: cluster([1, 1, 4]),
    request,
    nowMs: 0,
    horizonMs: HORIZON_MS,
    settles: undefined,
  });
  expect(decision.plan).toBeDefined();
  expect(decision.reason).toMatch(/^device 2 joined; /);
  expect(decision.movingBytes).toBeGreaterThan(0);
});

test('a link that takes a fifth of a round more or less is a reason to look again, one of no weight is none', () => {
  const before = cluster([1, 1, 1]);
  const current = createPlan(profile, before, request);
  const changed = (factor: number) => {
    const devices = before.devices.map((device, i) => (i === 0 ? { ...device, upBitsPerSecond: factor * device.upBitsPerSecond } : device));
    return considerReplan({
      current,
      profile,
      cluster: { ...before, devices },
      request,
      nowMs: 0,
      horizonMs: HORIZON_MS,
      settles: undefined,
    });
  };
  const { upBitsPerSecond, bytesUpPerRound } = current.groups
    .flatMap(({ stages }) => stages.flatMap(({ devices }) => devices))
    .find(({ device }) => device === 'd0')!;
  const upMs = (8000 * bytesUpPerRound) / upBitsPerSecond;
  expect(changed(1 / (1 + (0.15 * current.roundMs) / upMs))).toMatchObject({ changed: false });
  const slow = changed(1 / (1 + (0.3 * current.roundMs) / upMs));
  expect(slow.changed).toBe(true);
  expect(slow.reason).toMatch(/^the link of device 0 takes .+ a round, not /);
});

test('a direct link that is not what it was is a reason to look again, one of no weight is none', () => {
  const over = (bitsPerSecond: number): MeasuredCluster => {
    const peer = { between: ['d0', 'd1'] as const, bitsPerSecond, roundTripMs: 2, messageMs: 1 };
    return { devices: cluster([1, 1]).devices, lans: [], peers: [peer] };
  };
  const current = createPlan(profile, over(1e10), request);
  expect(current.groups.map(({ stages }) => stages.length)).toEqual([2]);
  const now = (bitsPerSecond: number) => considerReplan({ current, profile, cluster: over(bitsPerSecond), request, nowMs: 0, horizonMs: HORIZON_MS, settles: undefined });
  expect(now(5e9)).toMatchObject({ changed: false });
  const slow = now(1e6);
  expect(slow.changed).toBe(true);
  expect(slow.reason).toMatch(/^what goes between device [01] and device [01] takes .+ a step, not /);
});
