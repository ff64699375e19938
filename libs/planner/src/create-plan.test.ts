import type { DeviceProfile, OwnSteps, Plan, PlanRequest } from '@longtail/core';
import { createRng, dynamicLocalSteps, formatBytes, formatMilliseconds, LongtailError } from '@longtail/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createPlan } from './create-plan.js';
import { planLayout } from './plan-layout.js';
import { estimateMakespan } from './makespan.js';
import { randomInstance } from './random-instance.js';
import { equalLayers, REQUEST } from './testing/equal-layers.js';

const GIB = 2 ** 30;

/** 4 layers of 100M parameters, 1 GFLOP a sample each; 6.4 GiB with Adam in float32. */
const profile = equalLayers(4, { parameters: 100_000_000 });

const request: PlanRequest = { ...REQUEST, microbatches: [1, 4] };

function device(id: string, gib: number, change: Partial<DeviceProfile> = {}): DeviceProfile {
  const link = { upBitsPerSecond: 1e9, downBitsPerSecond: 1e9, roundTripMs: 1 };
  return { id, name: id.toUpperCase(), flopsPerSecond: 1e12, memoryBytes: gib * GIB, ...link, ...change };
}

const fleet = (devices: readonly DeviceProfile[], ...lan: string[]) => ({
  devices,
  lans: lan.length > 0 ? [{ name: 'lan', devices: lan, bitsPerSecond: 1e10, roundTripMs: 0.1 }] : [],
  peers: [],
});

const failure = (run: () => unknown): LongtailError => {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(LongtailError);
    return error as LongtailError;
  }
  throw new Error('it found a plan');
};

describe('layouts', () => {
  test('a device that holds the model and computes long enough works alone beside a pipeline of those that do not', () => {
    const cluster = fleet([device('big', 16), device('a', 4), device('b', 4)], 'a', 'b');
    const { groups, method, samplesPerSecond } = createPlan(profile, cluster, { ...request, stepsPerRound: 10_000 });
    expect(method).toBe('exact');
    expect(groups.map(({ kind, stages }) => [kind, ...stages.map(({ blocks }) => blocks.end - blocks.start)])).toEqual([
      ['pipeline', 2, 2],
      ['solo', 4],
    ]);
    // 12 GFLOP a sample on three devices of 1 TFLOP/s: 250 samples/s at most.
    expect(samplesPerSecond).toBeGreaterThan(230);
    expect(samplesPerSecond).toBeLessThanOrEqual(250);
  });

  test('a device whose exchange would bound the round is left out, in figures', () => {
    const slow = device('slow', 16, { upBitsPerSecond: 5e6 });
    const { leftOut } = createPlan(profile, fleet([device('a', 16), device('b', 16), slow]), { ...request, stepsPerRound: 1000 });
    expect(leftOut).toEqual([
      {
        device: 'slow',
        name: 'SLOW',
        reason: expect.stringMatching(/^its uplink would bound the round: 42 min \d+ s of exchange, the round takes 6 min/),
      },
    ]);
  });

  test('a device that is too small and reaches nobody well is left out with what it needs and has', () => {
    const small = device('small', 1, { upBitsPerSecond: 1e6 });
    const { leftOut } = createPlan(profile, fleet([device('a', 16), small]), request);
    expect(leftOut[0]!.reason).toMatch(/^needs 6\.0 GiB for the whole model, has 1\.0 GiB; /);
  });

  test('a server that steps takes the optimizer off the stages, and has even a lone pipeline exchange', () => {
    const cluster = fleet([device('a', 4), device('b', 4)], 'a', 'b');
    const itself = createPlan(profile, cluster, { ...request, microbatches: [1] });
    const served = createPlan(profile, cluster, { ...request, microbatches: [1], optimizer: 'server' });
    const devices = (plan: Plan) => plan.groups.flatMap(({ stages }) => stages.flatMap((stage) => stage.devices));
    expect(devices(itself).map(({ memory }) => memory.optimizer > 0)).toEqual([true, true]);
    expect(devices(served).map(({ memory }) => memory.optimizer)).toEqual([0, 0]);
    expect([itself, served].map(({ groups }) => groups[0]!.exchangeMs > 0)).toEqual([false, true]);
    expect(served.bytesUpPerRound - itself.bytesUpPerRound).toBeCloseTo(4 * 400_000_000);
    const [alone] = createPlan(profile, fleet([device('a', 16)]), { ...request, optimizer: 'server' }).groups;
    expect(alone!.exchangeMs).toBe(0);
    expect(alone!.stages[0]!.devices[0]!.memory.optimizer).toBeGreaterThan(0);
  });

  test('a layout that is given costs what it costs where it is found', () => {
    const cluster = fleet([device('a', 4), device('b', 4), device('c', 16, { flopsPerSecond: 3e12 })], 'a', 'b');
    const wide = { ...profile, blocks: profile.blocks.map((block) => ({ ...block, outputBytes: 2e6 })) };
    const large = { ...request, batch: 65_536 };
    const found = createPlan(wide, cluster, large);
    expect(found.groups.map(({ kind }) => kind)).toEqual(['solo', 'pipeline']);
    const index = new Map(cluster.devices.map(({ id }, i) => [id, i]));
    const groups = found.groups.map(({ microbatch, stages }) => ({
      microbatch,
      stages: stages.map(({ blocks, devices, recompute }) => ({
        ...blocks,
        recompute,
        devices: devices.map(({ device }) => index.get(device)!),
      })),
    }));
    expect(planLayout(wide, cluster, large, groups)).toEqual({ ...found, method: 'given' });
  });

  test('recompute where memory demands it', () => {
    const heavy = { ...profile, blocks: profile.blocks.map((block) => ({ ...block, stashBytes: 0.5 * GIB })) };
    const cluster = fleet([device('a', 5.2), device('b', 5.2)], 'a', 'b');
    const plan = createPlan(heavy, cluster, { ...request, microbatches: [1], recompute: 'allowed' });
    expect(plan.groups[0]!.stages.map(({ recompute }) => recompute)).toEqual([true, false]);
  });

  test('who holds the whole model computes nothing again: it keeps its one pass, or does not hold it', () => {
    const heavy = { ...profile, blocks: profile.blocks.map((block) => ({ ...block, stashBytes: 0.5 * GIB })) };
    const shapes = (recompute: PlanRequest['recompute'], ...devices: readonly DeviceProfile[]) =>
      createPlan(heavy, fleet(devices, 'a', 'b'), { ...request, microbatches: [1], recompute }).groups.map(({ stages }) => stages.map((stage) => stage.recompute));
    // 6 GiB of parameters and state, and 2 GiB each to keep a pass and to work on it.
    expect(shapes('allowed', device('a', 10))).toEqual([[false]]);
    expect(shapes('always', device('a', 10))).toEqual([[false]]);
    expect(shapes('always', device('a', 10), device('b', 10))).toEqual([[true, true]]);
    expect(shapes('allowed', device('a', 9), device('b', 9))).toEqual([[false, false]]);
    expect(failure(() => shapes('allowed', device('a', 9))).message).toMatch(/needs 10\.0 GiB to train, the one device holds 9\.0 GiB/);
  });

  test('tied parameters count once in a stage and in each stage that reads them', () => {
    const tied = [{ name: 'table', parameters: 1e8 }];
    const blocks = profile.blocks.map((block, i) => (i === 0 || i === 3 ? { ...block, parameters: 0, tied } : block));
    const solo = createPlan({ ...profile, blocks }, fleet([device('a', 16)]), request);
    expect(solo.groups[0]!.stages[0]!.devices[0]!.memory.parameters).toBe(4 * 3e8);
    const pair = createPlan({ ...profile, blocks }, fleet([device('a', 4), device('b', 4)], 'a', 'b'), request);
    expect(pair.groups[0]!.stages.map((stage) => stage.devices[0]!.memory.parameters)).toEqual([4 * 2e8, 4 * 2e8]);
  });

  test('says what tied parameters take of each inner step, where devices step and it is much', () => {
    const tied = [{ name: 'table', parameters: 1e8 }];
    const blocks = profile.blocks.map((block, i) => (i === 0 || i === 3 ? { ...block, parameters: 0, tied } : block));
    const notesOf = (devices: readonly DeviceProfile[], change: Partial<PlanRequest> = {}, ...lan: string[]) =>
      createPlan({ ...profile, blocks }, fleet(devices, ...lan), { ...request, ...change }).notes.filter((note) => note.includes('table'));
    const apart = [device('a', 4), device('b', 4, { upBitsPerSecond: 2e8 })];
    // 100M values of 32 bits at 200 Mbit/s, and half of both round trips.
    expect(notesOf(apart)).toEqual([expect.stringMatching(/^stages that share table send each other their gradients of it: 16(\.0)? s of each inner step/)]);
    expect(notesOf(apart, { optimizer: 'server' })).toEqual([]);
    expect(notesOf([device('a', 16)])).toEqual([]);
    expect(notesOf(apart, { batch: 2 ** 20 }, 'a', 'b'), '0.3 s in a LAN').toEqual([]);
  });

  test('the exact time of a schedule takes the place of the estimate', () => {
    const cluster = fleet([device('a', 4), device('b', 4)], 'a', 'b');
    const twice = (...args: Parameters<typeof estimateMakespan>) => {
      const estimate = estimateMakespan(...args);
      return { ...estimate, makespanMs: 2 * estimate.makespanMs };
    };
    const [estimated, exact] = [createPlan(profile, cluster, request), createPlan(profile, cluster, request, { makespanOf: twice })];
    expect(exact.groups[0]!.stepMs / estimated.groups[0]!.stepMs).toBeCloseTo(2, 1);
  });
});

test("the server's own link carries what every replica of a stage sends", () => {
  const link = { upBitsPerSecond: 1e8, downBitsPerSecond: 1e8 };
  const cluster = { ...fleet([device('a', 8), device('b', 8), device('c', 8)], 'a', 'b', 'c'), server: link };
  const stages = (...crews: readonly (readonly number[])[]) =>
    crews.map((devices, i) => ({ start: 3 * i, end: 3 + i, devices, recompute: false }));
  const exchangeMs = (optimizer: 'devices' | 'server', ...crews: readonly (readonly number[])[]) =>
    planLayout(profile, cluster, { ...request, optimizer }, [
      { microbatch: 4, stages: stages(...crews) },
      { microbatch: 4, stages: stages([2]).map((stage) => ({ ...stage, end: 4 })) },
    ]).groups[0]!.exchangeMs;
  // 400M values of 32 bits up and down at 100 Mbit/s: 256 s a copy. The front stage has three quarters of them.
  expect(exchangeMs('server', [0], [1])).toBeCloseTo(2 * 256_000, 3);
  expect(exchangeMs('server', [0, 1], [2])).toBeCloseTo(2.75 * 256_000, 3);
  expect(exchangeMs('devices', [0, 1], [2])).toBeCloseTo(2 * 256_000, 3);
});

test('where devices step, what several hold is brought home once, by the one with the fastest uplink', () => {
  const up = { a: 1e8, b: 1e9, c: 2e8 };
  const devices = Object.entries(up).map(([id, upBitsPerSecond]) => device(id, 8, { upBitsPerSecond, downBitsPerSecond: 1e12, roundTripMs: 0 }));
  const tied = equalLayers(4, { parameters: 100_000_000 });
  const ends = tied.blocks.map((block, i) => (i % 3 === 0 ? { ...block, tied: [{ name: 'table', parameters: 50_000_000 }] } : block));
  const local: OwnSteps = { batch: 64, rule: dynamicLocalSteps(4), overlaps: false };
  const stages = [[0, 1], [2]].map((crew, i) => ({ start: 2 * i, end: 2 * i + 2, devices: crew, recompute: false }));
  const plan = planLayout({ ...tied, blocks: ends }, fleet(devices, 'a', 'b', 'c'), { ...request, optimizer: 'devices', alwaysExchanges: true, local }, [{ microbatch: 4, stages }]);
  const bytes = Object.fromEntries(plan.groups[0]!.stages.flatMap((stage) => stage.devices.map((one) => [one.device, one.bytesUpPerRound] as const)));
  const sums = (values: number) => 4 * 4 * values;
  // 200M values on a and b, 200M on c, 50M more on all three, of which each sends 4/3 at each of 4 steps.
  const shared = sums((4 / 3) * 50e6);
  const hops = (fraction: number) => 4 * 64 * fraction * 10_000;
  expect(bytes['a']).toBeCloseTo(sums(200e6) + shared + hops(0.5), -3);
  expect(bytes['b']).toBeCloseTo(sums(200e6) + shared + hops(0.5) + 4 * 250e6, -3);
  expect(bytes['c']).toBeCloseTo(shared + hops(1) + 4 * 200e6, -3);
  // c takes longest: 200M values at 200 Mbit/s, and what all fetch.
  expect(plan.groups[0]!.exchangeMs).toBeCloseTo(32_000 + 8, 0);
});

test('of a layout that was given, the others are told that it has no place for them, and what would keep them out anyway', () => {
  const devices = [device('a', 8), device('b', 8), device('c', 8), device('d', 2 ** -6), device('e', 8, { flopsPerSecond: 1e9 })];
  const groups = [[0], [1]].map((crew) => ({ microbatch: 4, stages: [{ start: 0, end: 4, devices: crew, recompute: false }] }));
  const { leftOut } = planLayout(equalLayers(4, { parameters: 1_000_000 }), fleet(devices), request, groups);
  expect(leftOut.map(({ name, reason }) => `${name}: ${reason}`)).toEqual([
    'C: the layout as it stands has no place for it',
    'D: the layout as it stands has no place for it; needs 61.8 MiB for the whole model, has 16.0 MiB',
    expect.stringMatching(/^E: the layout as it stands has no place for it; a sample takes it 12 s, more than the .* that its exchange leaves of a round$/),
  ]);
});

test('of a layout that was given, whose group is too slow for a sample of the batch has a place, and nothing to do', () => {
  const devices = [device('a', 8), device('b', 8, { flopsPerSecond: 1e9 }), device('c', 8, { flopsPerSecond: 1e9 })];
  const stages = [1, 2].map((at, i) => ({ start: 2 * i, end: 2 * i + 2, devices: [at], recompute: false }));
  const layout = [{ microbatch: 4, stages: [{ start: 0, end: 4, devices: [0], recompute: false }] }, { microbatch: 4, stages }];
  const { groups, leftOut, roundMs } = planLayout(equalLayers(4, { parameters: 1_000_000 }), fleet(devices, 'b', 'c'), request, layout);
  expect(groups).toHaveLength(1);
  expect(leftOut.map(({ name, reason }) => `${name}: ${reason}`)).toEqual(
    ['B', 'C'].map((name) => expect.stringMatching(new RegExp(`^${name}: a round with its group would take 4[89] s, without it ${formatMilliseconds(roundMs)}$`))),
  );
});

test('of a layout that was given, it is said who would have to take more than it offers', () => {
  const stages = [0, 1].map((at) => ({ start: 2 * at, end: 2 * at + 2, devices: [at], recompute: false }));
  const { notes } = planLayout(profile, fleet([device('a', 8), device('b', 2)]), request, [{ microbatch: 1, stages }]);
  expect(notes.filter((note) => note.includes('refuse'))).toEqual([expect.stringMatching(/^B would need [3-9]\.\d GiB, offers 2\.0 GiB and may refuse its stage$/)]);
});

test('GPipe keeps every microbatch: those of the whole batch are charged, so that it recomputes where 1F1B need not', () => {
  const cluster = fleet([device('a', 5), device('b', 5)], 'a', 'b');
  const heavy = { ...profile, blocks: profile.blocks.map((block) => ({ ...block, stashBytes: 2e7 })) };
  const stagesOf = (schedule: PlanRequest['schedule']) =>
    createPlan(heavy, cluster, { ...request, schedule, microbatches: [4], recompute: 'allowed' }).groups[0]!.stages;
  const gpipe = stagesOf('gpipe');
  expect(gpipe.map(({ stashCap }) => stashCap)).toEqual([16, 16]);
  expect(gpipe.map(({ recompute }) => recompute)).toEqual([true, true]);
  expect(stagesOf('1f1b').map(({ recompute }) => recompute)).toEqual([false, false]);
  for (const { memory, offeredBytes } of gpipe.flatMap(({ devices }) => devices)) expect(memory.total).toBeLessThanOrEqual(offeredBytes);
});

describe('no plan', () => {
  test('a block that exceeds every device is named, with the device nearest to fitting', () => {
    const blocks = profile.blocks.map((block, i) => (i === 2 ? { ...block, parameters: 1e9 } : block));
    const error = failure(() => createPlan({ ...profile, blocks }, fleet([device('a', 4), device('b', 6)], 'a', 'b'), request));
    expect(error.code).toBe('no-plan');
    expect(error.message).toMatch(/block layer2 of model-of-4 needs 14\.9 GiB on one device, and the roomiest, B \(b\), offers 6\.0 GiB/);
    expect(error.hint).toBe('add one 16 GiB device.');
    const withEngine = failure(() => createPlan({ ...profile, blocks }, fleet([device('a', 4)]), { ...request, workspaceBytes: GIB / 2 }));
    expect(withEngine.message).toContain('needs 15.4 GiB on one device (512 MiB of it for the engine), and the roomiest');
  });

  test('where groups are workers that hold the whole model, nobody is a stage, and who lacks memory is told of strategies that pipelines take', () => {
    const whole = { ...request, wholeModels: true };
    const cluster = fleet([device('a', 5), device('b', 5), device('c', 8)], 'a', 'b', 'c');
    const { groups, leftOut } = createPlan(profile, cluster, whole);
    expect(groups.map(({ kind, stages }) => [kind, stages[0]!.devices[0]!.device])).toEqual([['solo', 'c']]);
    expect(leftOut.map(({ reason }) => reason)).toEqual(Array.from({ length: 2 }, () => 'needs 6.0 GiB for the whole model, has 5.0 GiB; its strategy has no pipelines'));
    const error = failure(() => createPlan(profile, fleet([device('a', 5), device('b', 5)], 'a', 'b'), whole));
    expect(error.message).toMatch(/model-of-4, which its strategy leaves whole, needs 6\.0 GiB on one device, and the roomiest, A \(a\), offers 5\.0 GiB/);
    expect(error.hint).toBe('add one 6 GiB device or use 8-bit Adam or use a strategy that pipelines take, like diloco.');
  });

  test('a fleet that is too small is told by how much, and what was tried and works', () => {
    const error = failure(() => createPlan(profile, fleet([device('a', 2), device('b', 2)], 'a', 'b'), request));
    expect(error.message).toMatch(
      /model-of-4 has 4\.5 GiB of parameters and optimizer state and needs 6\.0 GiB to train, the fleet of 2 holds 4\.0 GiB/,
    );
    expect(error.hint).toBe('add one 4 GiB device or use 8-bit Adam.');
  });

  test('what the server keeps of the optimizer is not missing where parts are enough', () => {
    const two = fleet([device('a', 1), device('b', 1)], 'a', 'b');
    const error = failure(() => createPlan(profile, two, { ...request, optimizer: 'server' }));
    expect(error.message).toMatch(
      /model-of-4 has 4\.5 GiB of parameters and optimizer state, 3\.0 GiB of it at the server, and needs 3\.0 GiB to train in parts, the fleet of 2 holds 2\.0 GiB/,
    );
    expect(error.hint).toBe('add one 2 GiB device.');
  });

  test('blocks that no cut may part are named together', () => {
    const blocks = profile.blocks.map((block) => ({ ...block, cutAfter: false }));
    const error = failure(() =>
      createPlan({ ...profile, blocks: [...blocks.slice(0, 3), profile.blocks[3]!] }, fleet([device('a', 4)]), request),
    );
    expect(error.message).toContain('blocks layer0 to layer3 of model-of-4, which no cut may part, need 6.0 GiB');
  });
});

test('a plan keeps its promises: each block once in each group, memory within what is offered, shares that sum to the batch', () => {
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const { profile, cluster, request } = randomInstance(createRng(seed), 7, 5);
      const plan = attempt(() => createPlan(profile, cluster, request));
      if (plan === undefined) return;
      expect(createPlan(profile, cluster, request)).toEqual(plan);
      const named = [...plan.leftOut, ...plan.groups.flatMap((group) => group.stages.flatMap((stage) => stage.devices))];
      expect(named.map(({ device }) => device).sort()).toEqual(cluster.devices.map(({ id }) => id).sort());
      expect(plan.groups.reduce((sum, { samples }) => sum + samples, 0)).toBe(request.batch);
      for (const { reason, devices } of plan.groups.flatMap(({ stages }) => stages)) {
        const tightest = devices.reduce((least, next) => (next.offeredBytes < least.offeredBytes ? next : least));
        expect(reason).toContain(`${formatBytes(tightest.memory.total)} of ${formatBytes(tightest.offeredBytes)}`);
      }
      for (const { stages } of plan.groups) {
        expect(stages.map(({ blocks }) => blocks.start)).toEqual([0, ...stages.slice(0, -1).map(({ blocks }) => blocks.end)]);
        expect(stages.at(-1)!.blocks.end).toBe(profile.blocks.length);
        for (const stage of stages) {
          for (const device of stage.devices) {
            expect(device.memory.total).toBeLessThanOrEqual(device.offeredBytes);
            expect(device.utilisation).toBeLessThanOrEqual(1);
          }
        }
      }
      expect(plan.gap).toBeGreaterThanOrEqual(0);
      expect(plan.leftOut.every(({ reason }) => /\d/.test(reason))).toBe(true);
    }),
    { numRuns: 100 },
  );
});

function attempt(run: () => Plan): Plan | undefined {
  try {
    return run();
  } catch (error) {
    expect(error).toMatchObject({ code: 'no-plan' });
    return undefined;
  }
}
