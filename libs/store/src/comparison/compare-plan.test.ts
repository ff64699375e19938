import type { Plan, PlannedDevice, PlannedGroup, RunEvent, StoredEvent } from '@longtail/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { comparePlan } from './compare-plan.js';

const BATCH = 48;
const EXCHANGE_MS = 20;
/** Of a microbatch of 4. */
const PASS_MS = { front: 6, back: 10, lone: 20 };
const STEP_MS = { pipeline: 110, solo: 80 };

const device = (name: keyof typeof PASS_MS, samples: number): PlannedDevice => ({
  device: `n-${name}`,
  name,
  memory: { parameters: 60, gradients: 30, optimizer: 0, anchor: 0, stash: 9, workspace: 1, total: 100 },
  offeredBytes: 200,
  samples,
  forwardMs: PASS_MS[name] / 3,
  backwardMs: (2 * PASS_MS[name]) / 3,
  utilisation: 0.5,
  bytesUpPerRound: 1000,
  bytesDownPerRound: 2000,
  flopsPerSecond: 1e9,
  upBitsPerSecond: 1e9,
  downBitsPerSecond: 1e9,
});
const group = (samples: number, stepMs: number, ...devices: readonly PlannedDevice[]): PlannedGroup => ({
  kind: devices.length > 1 ? 'pipeline' : 'solo',
  schedule: 'capped-1f1b',
  stages: devices.map((planned, i) => ({
    blocks: { start: i, end: i + 1 },
    names: [`block${i}`, `block${i}`],
    devices: [planned],
    recompute: false,
    stashCap: 2,
    timing: { forwardMs: 1, backwardMs: 2, inputGradientMs: 1, activationHopMs: 0, gradientHopMs: 0 },
    reason: '',
  })),
  microbatch: 4,
  microbatches: samples / 4,
  samples,
  steps: 1,
  share: samples / BATCH,
  stepMs,
  exchangeMs: EXCHANGE_MS,
  bubble: 1 - 80 / 110,
});
const plan: Plan = {
  model: 'pair',
  batch: BATCH,
  stepsPerRound: 1,
  samplesPerRound: BATCH,
  groups: [group(32, STEP_MS.pipeline, device('front', 32), device('back', 32)), group(16, STEP_MS.solo, device('lone', 16))],
  leftOut: [],
  roundMs: STEP_MS.pipeline + EXCHANGE_MS,
  stepMs: STEP_MS.pipeline + EXCHANGE_MS,
  samplesPerSecond: (1000 * BATCH) / (STEP_MS.pipeline + EXCHANGE_MS),
  bytesUpPerRound: 3000,
  bytesDownPerRound: 6000,
  method: 'exact',
  boundSamplesPerSecond: 1000,
  gap: 0,
  notes: [],
};

interface Strain {
  /** Factors on what was planned. */
  readonly compute?: number;
  readonly exchange?: number;
  /** Added to the step of the pipeline, in milliseconds. */
  readonly waiting?: number;
  readonly commit?: number;
}

const commit = (round: number, samples: number, roundMs: number): RunEvent =>
  ({ event: 'commit', run: 'r', round, samples, roundMs }) as unknown as RunEvent;

function roundOf(round: number, { compute = 1, exchange = 1, waiting = 0, commit: commitMs = 0 }: Strain = {}, samples = BATCH): RunEvent[] {
  const sentAtMs = 1000 * round;
  const slowdown = compute * 80 - 80 + waiting;
  const part = (name: keyof typeof PASS_MS, share: number, stepMs: number, stage?: number): RunEvent => ({
    event: 'contribution',
    run: 'r',
    round,
    node: `n-${name}`,
    name,
    samples: share,
    accepted: true,
    weight: 1,
    staleness: 0,
    reason: '',
    computeMs: compute * PASS_MS[name] * (share / 4),
    elapsedMs: stepMs,
    sentAtMs,
    doneAtMs: sentAtMs + stepMs + exchange * EXCHANGE_MS,
    bytesUp: 1000,
    bytesDown: 2000,
    ...(stage === undefined ? {} : { stage: { group: 'p1', stage, stages: 2 } }),
  });
  const pipelineMs = STEP_MS.pipeline + slowdown;
  return [
    part('front', 32, pipelineMs, 0),
    part('back', 32, pipelineMs - 4, 1),
    part('lone', 16, compute * STEP_MS.solo),
    commit(round, samples, pipelineMs + exchange * EXCHANGE_MS + commitMs),
  ];
}

const rounds = (count: number, strain?: Strain, from = 1): RunEvent[] =>
  Array.from({ length: count }, (_, i) => roundOf(from + i, strain)).flat();
const planned: RunEvent = { event: 'planned', run: 'r', plan };
const ready = ['front', 'back', 'lone'].map((name): RunEvent => {
  const figures = { engine: 'wasm', samplesPerSecond: 1, parameters: 1, memoryBytes: 90 };
  return { event: 'worker_ready', run: 'r', node: `n-${name}`, name, ...figures };
});
const stored = (bodies: readonly RunEvent[]): StoredEvent[] => bodies.map((body, i) => ({ seq: i + 1, timeMs: i, body }));
const compare = (...bodies: readonly RunEvent[]) => comparePlan(stored([planned, ...ready, ...bodies]))!;

describe('comparePlan', () => {
  test('a replica that got nothing in some rounds is judged by the others', () => {
    const idle = (event: RunEvent): RunEvent => (event.event === 'contribution' && event.name === 'back' ? { ...event, samples: 0, computeMs: 0 } : event);
    const bodies = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].flatMap((round) => (round % 2 === 0 ? roundOf(round).map(idle) : roundOf(round)));
    const { passMs } = compare(...bodies).groups[0]!.stages[1]![0]!;
    expect(passMs.measured).toBeCloseTo(PASS_MS.back, 9);
  });

  test('of local steps, what a round holds is told as one of them', () => {
    const steps = 4;
    const local: Plan = { ...plan, groups: plan.groups.map((group) => ({ ...group, steps })), stepsPerRound: steps, samplesPerRound: steps * BATCH, roundMs: steps * STEP_MS.pipeline + EXCHANGE_MS };
    const lasting = (event: RunEvent): RunEvent => {
      if (event.event === 'commit') return { ...event, samples: steps * event.samples, roundMs: local.roundMs };
      if (event.event !== 'contribution') return event;
      const elapsedMs = steps * event.elapsedMs;
      return { ...event, samples: steps * event.samples, computeMs: steps * event.computeMs, elapsedMs, doneAtMs: event.sentAtMs + elapsedMs + EXCHANGE_MS };
    };
    const { groups, deviation } = comparePlan(stored([{ event: 'planned', run: 'r', plan: local }, ...ready, ...rounds(12).map(lasting)]))!;
    expect(deviation.ms.measured).toBeCloseTo(deviation.ms.planned, 9);
    for (const { steps: taken, samples, stepMs, exchangeMs } of groups) {
      for (const { planned, measured } of [taken, samples, stepMs, exchangeMs]) expect(measured).toBeCloseTo(planned, 9);
    }
  });

  test('a worker that holds several stages is compared once, with all of them together', () => {
    const [pipeline, solo] = plan.groups as [PlannedGroup, PlannedGroup];
    const half = (planned: PlannedDevice): PlannedDevice => ({ ...planned, forwardMs: planned.forwardMs / 2, backwardMs: planned.backwardMs / 2, utilisation: 0.25, bytesUpPerRound: 500, bytesDownPerRound: 1000 });
    const stages = [0, 1, 0, 1].map((worker, i) => {
      const stage = pipeline.stages[worker]!;
      return { ...stage, names: [`block${i}`, `block${i}`] as const, devices: stage.devices.map(half) };
    });
    const turns: Plan = { ...plan, groups: [{ ...pipeline, schedule: 'interleaved', stages }, solo] };
    const { groups } = comparePlan(stored([{ event: 'planned', run: 'r', plan: turns }, ...ready, ...rounds(12)]))!;
    const [front, back] = groups[0]!.stages.map(([worker]) => worker!);
    expect(groups[0]!.stages).toHaveLength(2);
    expect([front!.blocks, back!.blocks]).toEqual([
      [['block0', 'block0'], ['block2', 'block2']],
      [['block1', 'block1'], ['block3', 'block3']],
    ]);
    expect(front!.memoryBytes).toEqual({ planned: 100, measured: 90 });
    for (const { planned: expected, measured } of [front!.passMs, front!.computeMs, front!.bytesUp, back!.passMs]) expect(measured).toBeCloseTo(expected, 9);
  });

  test('a run that goes as planned strays nowhere', () => {
    const { roundMs, samplesPerSecond, groups, bytesUp, deviation, ...rest } = compare(...rounds(12));
    expect(rest).toMatchObject({ rounds: 9, warmUp: 3 });
    for (const { planned: expected, measured } of [roundMs, samplesPerSecond, bytesUp]) expect(measured).toBeCloseTo(expected, 9);
    expect(groups.map(({ number, kind }) => [number, kind])).toEqual([
      [1, 'pipeline'],
      [2, 'solo'],
    ]);
    for (const { samples, stepMs, exchangeMs, stages } of groups) {
      for (const { planned: expected, measured } of [samples, stepMs, exchangeMs]) expect(measured).toBeCloseTo(expected, 9);
      for (const { passMs, computeMs } of stages.flat())
        for (const { planned: expected, measured } of [passMs, computeMs]) expect(measured).toBeCloseTo(expected, 9);
    }
    expect(groups[0]!.bubble.measured).toBeCloseTo(1 - 80 / 110, 9);
    expect(groups[0]!.stages.map(([stage]) => stage!.memoryBytes)).toEqual([
      { planned: 100, measured: 90 },
      { planned: 100, measured: 90 },
    ]);
    expect(Math.abs(deviation.ms.measured - deviation.ms.planned)).toBeLessThan(1e-9);
    expect(deviation.sentence).toMatch(/^A round takes what was planned/);
  });

  test.each([
    ['compute', { compute: 1.5 }, /31 % more than planned.* compute takes 120 ms \(planned 80 ms\); back needs 15 ms \(planned 10 ms\) a microbatch, slower/],
    ['compute', { compute: 0.5 }, /31 % less than planned.* back needs 5 ms \(planned 10 ms\) a microbatch, faster than its profile/],
    ['exchange', { exchange: 4 }, /46 % more.* take group 1 80 ms \(planned 20 ms\): its link is slower/],
    ['waiting', { waiting: 60 }, /46 % more.* waits 90 ms \(planned 30 ms\) a round/],
    ['exchange', { compute: 1.25, exchange: 2.1, waiting: -25 }, /13 % more.* take group 1 42 ms \(planned 20 ms\): its link is slower/],
    ['rest', { commit: 50 }, /38 % more.* 50 ms \(planned 0 ms\) of a round .* the server's commit/],
  ] as const)('names %s where that strays', (part, strain, sentence) => {
    const { deviation } = compare(...rounds(12, strain));
    expect(deviation.part).toBe(part);
    expect(deviation.sentence).toMatch(sentence);
  });

  test('the first rounds, those that did not do the batch, and what was refused do not count', () => {
    const calm = compare(...rounds(20));
    const refused = roundOf(30).map((event) => (event.event === 'contribution' ? { ...event, accepted: false, computeMs: 1e6 } : event)).slice(0, 3);
    const stormy = compare(...rounds(5, { compute: 30 }), ...rounds(20, {}, 6), ...refused, ...roundOf(31, { exchange: 90 }, 16));
    expect(stormy.warmUp).toBe(5);
    expect({ ...stormy, warmUp: 0, rounds: 0 }).toEqual({ ...calm, warmUp: 0, rounds: 0 });
  });

  test('sending, receiving and waiting are held against the plan where it has figures for them', () => {
    const exchange = { receiveMs: 30, encodeMs: 2, sendMs: 60, waitMs: 10 };
    const told = rounds(12).map((event) => (event.event === 'contribution' ? { ...event, exchange } : event));
    const [front, , lone] = compare(...told).groups.flatMap(({ stages }) => stages.flat().map((device) => device.exchange!));
    // 1000 bytes up and 2000 down at 1 Gbit/s; the solo group is done 30 ms before the pipeline.
    expect(lone).toMatchObject({ sendMs: { planned: 0.008, measured: 60 }, receiveMs: { planned: 0.016, measured: 30 }, waitMs: { planned: 30, measured: 10 } });
    expect(lone!.sends).toBeCloseTo(60 / (80 + 30 + 60 + 10), 9);
    expect(front).toMatchObject({ sendMs: { planned: NaN, measured: 60 }, encodeMs: { planned: NaN, measured: 2 } });
    expect(compare(...rounds(12)).groups[0]!.stages[0]![0]!.exchange).toBeUndefined();
  });

  test('a single slow round among many moves nothing: medians', () => {
    fc.assert(
      fc.property(fc.integer({ min: 6, max: 20 }), fc.nat(), fc.double({ min: 2, max: 100, noNaN: true }), (count, at, slow) => {
        const events = Array.from({ length: count }, (_, i) => roundOf(i + 1, i === at % count ? { compute: slow, exchange: slow } : {}));
        expect(compare(...events.flat()).roundMs.measured).toBeCloseTo(plan.roundMs, 9);
      }),
    );
  });

  test('of several plans the one under which most was done', () => {
    const later = { ...plan, model: 'later' };
    const moved: RunEvent = { event: 'planned', run: 'r', plan: later };
    expect(compare(...rounds(8), moved, ...rounds(3, {}, 9))).toMatchObject({ plan: { model: 'pair' }, number: 1, plans: 2 });
    expect(compare(...rounds(3), moved, ...rounds(8, {}, 4))).toMatchObject({ plan: { model: 'later' }, number: 2, plans: 2 });
  });

  test('a group alone that says what it did every few steps is brought down to one', () => {
    const alone: Plan = { ...plan, groups: [plan.groups[1]!], batch: 16, samplesPerRound: 16, roundMs: STEP_MS.solo, stepMs: STEP_MS.solo };
    const parts = [1, 2, 3, 4].flatMap((round) => {
      const [, , part] = roundOf(round) as [RunEvent, RunEvent, Extract<RunEvent, { event: 'contribution' }>];
      return [{ ...part, samples: 64, computeMs: 320, elapsedMs: 320 }, commit(round, 64, 340)];
    });
    const comparison = comparePlan(stored([{ event: 'planned', run: 'r', plan: alone }, ...parts]))!;
    expect(comparison.roundMs.measured).toBe(85);
    expect(comparison.groups[0]!.samples.measured).toBe(16);
    expect(comparison.groups[0]!.stages[0]![0]!.computeMs).toEqual({ planned: 80, measured: 80 });
  });

  test('nothing to compare without a plan or without a round under it', () => {
    expect(comparePlan(stored(rounds(5)))).toBeUndefined();
    expect(comparePlan(stored([...rounds(5), planned]))).toBeUndefined();
    expect(comparePlan([])).toBeUndefined();
  });
});
