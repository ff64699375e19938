import { setTimeout as delay } from 'node:timers/promises';
import type { Batch, Dataset, Engine, Job, Stage, VectorRange } from '@longtail/core';
import { createRng, formatBytes, stashFactorOf, sumOfSquares } from '@longtail/core';
import { createModel, loadEngine, stageModel } from '@longtail/engine';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EmulatedDevice } from './emulated-device.js';
import { CallAborted, Interrupts } from './interrupts.js';
import { estimateOf, wholeNeed } from './memory.js';
import { Pacer } from './pacer.js';
import { Stream } from './stream.js';
import { TrainingSession } from './training-session.js';

const JOB = {
  name: 'test',
  model: { type: 'mlp', input: 6, hidden: [5], outputs: 3 },
  loss: 'cross-entropy',
  data: { type: 'mnist' },
  sync: { strategy: 'bsp' },
  train: { batch: 16, optimizer: { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, decoupled: false }, seed: 3 },
} as unknown as Job;

/** Points in six dimensions with one of three labels. */
const DATASET: Dataset = {
  name: 'points',
  signature: { inputShape: [6], inputType: 'float32', targetShape: [], targetType: 'int32', classes: 3 },
  length: (split) => (split === 'train' ? 1000 : 200),
  batch: (_split, indices): Batch => {
    const list = [...indices];
    const inputs = Float32Array.from(list.flatMap((index) => Array.from({ length: 6 }, (_, k) => createRng(`${index}/${k}`).normal())));
    const targets = Int32Array.from(list, (index) => index % 3);
    return {
      samples: list.length,
      inputs: { dtype: 'float32', shape: [list.length, 6], data: inputs },
      targets: { dtype: 'int32', shape: [list.length], data: targets },
    };
  },
};

const RANGES = [
  { epoch: 0, start: 100, end: 140 },
  { epoch: 1, start: 0, end: 24 },
];
const HYPER = { learningRate: 0.01 };

let engine: Engine;
let session: TrainingSession;
let interrupts: Interrupts;
/** Called instead of resting, as the device of the tests is paced: after each slice. */
let onPause: () => void;
/** So slow that a slice rests even where it took a hundred times what such a slice takes, as another process had the core. */
const SLOW = 0.001;

beforeAll(async () => {
  engine = await loadEngine('cpu');
});
beforeEach(async () => {
  interrupts = new Interrupts();
  onPause = () => undefined;
  const pacer = new Pacer(SLOW, { pause: () => onPause() });
  session = await TrainingSession.create({ engine, job: JOB, dataset: DATASET, memoryBytes: 2 ** 30, pacer, interrupts });
});
afterEach(() => session.dispose());

/** The stage, taking `ms` longer for the first gradient of each size, as engines that trace do. */
function preparing(stage: Stage, ms: number): Stage {
  const sizes = new Set<number>();
  const gradient: Stage['gradient'] = async (batch) => {
    if (!sizes.has(batch.samples)) await delay(ms);
    sizes.add(batch.samples);
    return stage.gradient(batch);
  };
  return new Proxy(stage, {
    get: (target, key) => (key === 'gradient' ? gradient : bound(target, Reflect.get(target, key, target))),
  });
}

function bound(stage: Stage, member: unknown): unknown {
  return typeof member === 'function' ? member.bind(stage) : member;
}

const parameters = () => new Float32Array(session.shared.parameters).slice();
const gradient = () => new Float32Array(session.shared.gradient).slice();
const state = () => session.shared.state.map((memory) => new Float32Array(memory).slice());

describe('TrainingSession', () => {
  it('adds up the gradient of all ranges, whatever the slices', async () => {
    const stats = await session.gradient(RANGES);
    const whole = gradient();
    expect(stats.samples).toBe(64);
    const sum = new Float32Array(whole.length);
    for (const range of RANGES) {
      await session.gradient([range]);
      gradient().forEach((value, i) => (sum[i]! += value));
    }
    whole.forEach((value, i) => expect(sum[i]).toBeCloseTo(value, 4));
    expect(whole.some((value) => value !== 0)).toBe(true);
  });

  it('leaves no gradient behind when it is aborted', async () => {
    await session.gradient(RANGES);
    const expected = gradient();
    onPause = () => interrupts.abort();
    await expect(session.gradient(RANGES)).rejects.toThrow(CallAborted);
    interrupts.clear();
    onPause = () => undefined;
    await session.gradient(RANGES);
    expect(gradient()).toEqual(expected);
  });

  it('draws the same fresh parameters again after training', async () => {
    const fresh = parameters();
    await session.localSteps({ batches: [{ ranges: RANGES, hyper: HYPER }], result: 'parameters' }, () => undefined);
    expect(parameters()).not.toEqual(fresh);
    await session.initialParameters();
    expect(parameters()).toEqual(fresh);
  });

  it('ends local steps at a stop, and delivers what is done', async () => {
    let steps = 0;
    onPause = () => void (++steps === 2 && interrupts.stop());
    const batches = Array.from({ length: 5 }, (_, i) => ({ ranges: [{ epoch: 0, start: 16 * i, end: 16 * i + 16 }], hyper: HYPER }));
    const result = await session.localSteps({ batches, result: 'parameters' }, () => undefined);
    expect(result).toMatchObject({ steps: 2, samples: 32 });
    expect(state()[0]!.some((value) => value !== 0)).toBe(true);
  });

  it('takes aborted local steps back, moments and all', async () => {
    await session.localSteps({ batches: [{ ranges: RANGES, hyper: HYPER }], result: 'parameters' }, () => undefined);
    const [before, moments] = [parameters(), state()];
    const more = [{ ranges: [{ epoch: 2, start: 0, end: 16 }], hyper: HYPER }];
    onPause = () => interrupts.abort();
    await expect(session.localSteps({ batches: [...more, ...more], result: 'parameters' }, () => undefined)).rejects.toThrow(CallAborted);
    interrupts.clear();
    onPause = () => undefined;
    expect([parameters(), state()]).toEqual([before, moments]);

    const after = await session.localSteps({ batches: more, result: 'parameters' }, () => undefined).then(parameters);
    new Float32Array(session.shared.parameters).set(before);
    session.shared.state.forEach((memory, i) => new Float32Array(memory).set(moments[i]!));
    await session.loadParameters();
    await session.loadState(1);
    expect(await session.localSteps({ batches: more, result: 'parameters' }, () => undefined).then(parameters)).toEqual(after);
  });

  it('leaves how far local steps moved beside the parameters that they began from, and goes on with its moments', async () => {
    const base = parameters();
    const batches = [0, 1].map((i) => ({ ranges: [{ epoch: 0, start: 16 * i, end: 16 * i + 16 }], hyper: HYPER }));
    await session.localSteps({ batches: batches.slice(0, 1), result: 'move' }, () => undefined);
    expect(parameters()).toEqual(base);
    const first = base.map((value, i) => Math.fround(value - gradient()[i]!));
    new Float32Array(session.shared.parameters).set(first);
    await session.loadParameters();
    await session.localSteps({ batches: batches.slice(1), result: 'move' }, () => undefined);
    const second = first.map((value, i) => Math.fround(value - gradient()[i]!));

    new Float32Array(session.shared.parameters).set(base);
    await session.loadParameters();
    session.shared.state.forEach((memory) => new Float32Array(memory).fill(0));
    await session.loadState(0);
    await session.localSteps({ batches, result: 'parameters' }, () => undefined);
    parameters().forEach((value, i) => expect(second[i]).toBeCloseTo(value, 6));
  });

  it('streams: what was moved is taken part by part, what comes is mixed in, and each step counts once', async () => {
    const base = parameters();
    const half = base.length >> 1;
    const [first, second] = [{ start: 0, length: half }, { start: half, length: base.length - half }];
    const batches = [0, 1].map((i) => ({ ranges: [{ epoch: 0, start: 16 * i, end: 16 * i + 16 }], hyper: HYPER }));
    const { shared } = session;
    const onSession = {
      loadParameters: () => session.loadParameters(),
      readParts: (memory: SharedArrayBuffer, parts: readonly VectorRange[]) => session.readParts(new Float32Array(memory), parts),
      addParts: (memory: SharedArrayBuffer, parts: readonly VectorRange[]) => session.addParts(new Float32Array(memory), parts),
    };
    const stream = new Stream(onSession, { parameters: new Float32Array(shared.parameters), gradient: new Float32Array(shared.gradient) });
    await stream.startStream();
    await session.localSteps({ batches: batches.slice(0, 1), result: 'nothing' }, () => undefined);
    await stream.takeStreamMove([first, second]);
    const moved = Array.from(gradient());
    expect(moved.every((value) => value === 0)).toBe(false);
    new Float32Array(shared.parameters).fill(0.01, half);
    await stream.prepareMix([second], 0);
    await stream.applyMix();
    await stream.takeStreamMove([first, second]);
    gradient().forEach((value) => expect(value).toBeCloseTo(0, 6));
    await session.localSteps({ batches: [], result: 'parameters' }, () => undefined);
    parameters().forEach((value, i) => expect(value).toBeCloseTo(i < half ? base[i]! - moved[i]! : 0.01, 6));
  });

  it('takes an aborted move back', async () => {
    const base = parameters();
    onPause = () => interrupts.abort();
    const batches = [{ ranges: RANGES, hyper: HYPER }, { ranges: RANGES, hyper: HYPER }];
    await expect(session.localSteps({ batches, result: 'move' }, () => undefined)).rejects.toThrow(CallAborted);
    interrupts.clear();
    onPause = () => undefined;
    await session.localSteps({ batches: [], result: 'parameters' }, () => undefined);
    expect(parameters()).toEqual(base);
  });

  it('evaluates a part of a split in order', async () => {
    const whole = await session.evaluate('validation', 0, 200);
    const parts = [await session.evaluate('validation', 0, 80), await session.evaluate('validation', 80, 200)];
    expect(whole.samples).toBe(200);
    expect(parts[0]!.lossSum + parts[1]!.lossSum).toBeCloseTo(whole.lossSum, 3);
    expect(parts[0]!.correct + parts[1]!.correct).toBe(whole.correct);
  });

  it('measures with no more samples than a task can have', async () => {
    const sizes: number[] = [];
    const dataset: Dataset = { ...DATASET, batch: (split, indices) => (sizes.push(indices.length), DATASET.batch(split, indices)) };
    const measured = await TrainingSession.create({ engine, job: JOB, dataset, memoryBytes: 2 ** 30, pacer: new Pacer(1, interrupts), interrupts });
    await measured.measure();
    await measured.dispose();
    expect(Math.max(...sizes)).toBe(16);
  });

  it('does not pace the preparation for a new size, and says how long it took', async () => {
    const rests: number[] = [];
    const slow = {
      ...engine,
      build: async (...args: Parameters<Engine['build']>) => preparing(await engine.build(...args), 200),
    } as Engine;
    const pacer = new Pacer(0.5, { pause: (ms) => void rests.push(ms) });
    const paced = await TrainingSession.create({ engine: slow, job: JOB, dataset: DATASET, memoryBytes: 2 ** 30, pacer, interrupts });
    await paced.measure();
    rests.length = 0;
    const { computeMs, prepareMs } = await paced.gradient([{ epoch: 0, start: 0, end: 7 }]);
    expect(prepareMs).toBeGreaterThan(190);
    expect(prepareMs).toBeLessThan(computeMs);
    const again = await paced.gradient([{ epoch: 0, start: 0, end: 7 }]);
    expect(again.prepareMs).toBe(0);
    await paced.dispose();
    // At half the pace it rests for as long as it works.
    expect(rests.reduce((sum, ms) => sum + ms, 0)).toBeLessThan(computeMs + again.computeMs - prepareMs! / 2);
  });

  it('cuts a task into slices of equal size', async () => {
    const sizes: number[] = [];
    const dataset: Dataset = { ...DATASET, batch: (split, indices) => (sizes.push(indices.length), DATASET.batch(split, indices)) };
    const sliced = await TrainingSession.create({ engine, job: JOB, dataset, memoryBytes: 2 ** 30, pacer: new Pacer(1, interrupts), interrupts });
    expect((await sliced.gradient([{ epoch: 0, start: 0, end: 33 }])).samples).toBe(33);
    await sliced.dispose();
    expect(sizes).toEqual([11, 11, 11]);
  });

  it('never works on more samples at a time than there is room for, and computes the same', async () => {
    const sizes: number[] = [];
    const dataset: Dataset = { ...DATASET, batch: (split, indices) => (sizes.push(indices.length), DATASET.batch(split, indices)) };
    const whole = await createModel(JOB.model, { ...DATASET.signature, loss: JOB.loss });
    const model = stageModel(whole, 'all');
    const options = { engine, dataset, pacer: new Pacer(1, interrupts), interrupts };
    for (const job of [JOB, changed({}, local)]) {
      const state = job === JOB ? 16 : 8;
      const fixed = Object.values(wholeNeed(model, state, 0)).reduce((sum, bytes) => sum + bytes, 0);
      const tight = await TrainingSession.create({ ...options, job, memoryBytes: Math.ceil(fixed + 5 * 2 * stashFactorOf('cpu') * estimateOf(whole, model, job)) });
      sizes.length = 0;
      expect(await tight.measure()).toBeGreaterThan(0);
      await tight.gradient(RANGES);
      await session.gradient(RANGES);
      expect(relativeDistance(new Float32Array(tight.shared.gradient), gradient())).toBeLessThan(1e-5);
      await tight.evaluate('validation', 0, 50);
      const batches = [{ ranges: [{ epoch: 0, start: 0, end: 16 }], hyper: HYPER }, { ranges: [{ epoch: 0, start: 16, end: 32 }], hyper: HYPER }];
      const roomy = await create(job);
      const stepped = async (stepping: TrainingSession) => {
        await stepping.localSteps({ batches, result: job === JOB ? 'parameters' : 'move' }, () => undefined);
        return new Float32Array(job === JOB ? stepping.shared.parameters : stepping.shared.gradient);
      };
      expect(relativeDistance(await stepped(tight), await stepped(roomy))).toBeLessThan(1e-5);
      await roomy.dispose();
      expect(Math.max(...sizes)).toBe(5);
      await tight.dispose();
    }
  });

  it('adds a step up that would take long, so that an abort waits for a part of it', async () => {
    const sizes: number[] = [];
    const dataset: Dataset = { ...DATASET, batch: (split, indices) => (sizes.push(indices.length), DATASET.batch(split, indices)) };
    const cut = await TrainingSession.create({ engine, job: JOB, dataset, memoryBytes: 2 ** 30, pacer: new Pacer(1, interrupts), interrupts });
    const batches = [{ ranges: [{ epoch: 0, start: 0, end: 300 }], hyper: HYPER }];
    expect(await cut.localSteps({ batches, result: 'parameters' }, () => undefined)).toMatchObject({ steps: 1, samples: 300 });
    await cut.dispose();
    expect(sizes).toEqual([100, 100, 100]);
  });

  it('measures at the pace in force', async () => {
    let rests = 0;
    onPause = () => void rests++;
    expect(await session.measure()).toBeGreaterThan(0);
    expect(rests).toBeGreaterThan(0);
    expect(gradient().some((value) => value !== 0)).toBe(true);
    await session.gradient(RANGES);
    const expected = gradient();
    await session.gradient(RANGES);
    expect(gradient()).toEqual(expected);
  });

  const changed = (train: object, sync = JOB.sync) => ({ ...JOB, sync, train: { ...JOB.train, ...train } }) as Job;
  const create = (job: Job, memoryBytes = 2 ** 30) =>
    TrainingSession.create({ engine, job, dataset: DATASET, memoryBytes, pacer: new Pacer(1, interrupts), interrupts });
  const local = { strategy: 'diloco' } as Job['sync'];
  const eightBits = { optimizer: { ...JOB.train.optimizer, stateBits: 8 } };

  /** How far four local steps move. */
  async function moveOf(job: Job): Promise<Float32Array> {
    const stepping = await create(job);
    const batches = [0, 1, 2, 3].map((i) => ({ ranges: [{ epoch: 0, start: 40 * i, end: 40 * i + 40 }], hyper: HYPER }));
    await stepping.localSteps({ batches, result: 'move' }, () => undefined);
    await stepping.dispose();
    return new Float32Array(stepping.shared.gradient);
  }

  it('says what moments take: none here where the server keeps them, none to send where they stay', async () => {
    const needed = (job: Job) => create(job, 1).catch((error: Error) => error.message);
    const vector = 4 * session.layouts[0]!.length;
    expect(await needed(JOB)).toContain(`state ${formatBytes(4 * vector)}`);
    expect(await needed(changed({}, local))).toContain(`state ${formatBytes(2 * vector)}`);
    expect(await needed(changed(eightBits))).not.toContain('state');
    expect(await needed(changed(eightBits, local))).toContain(`state ${formatBytes(((4 + (2 * 260) / 256) * vector) / 4)}`);
    for (const job of [changed({}, local), changed(eightBits), changed(eightBits, local)]) {
      const stateless = await create(job);
      expect(stateless.shared.state).toEqual([]);
      await stateless.dispose();
    }
  });

  it('steps for itself with moments in 8 bits, nearly as with whole ones', async () => {
    const [coded, whole] = [await moveOf(changed(eightBits, local)), await moveOf(changed({}, local))];
    expect(coded).not.toEqual(whole);
    expect(relativeDistance(coded, whole)).toBeLessThan(0.05);
  });

  it('clips the gradient of each local step to its global norm', async () => {
    const sgd = { optimizer: { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 } };
    const clipNorm = 1e-4;
    const clipped = await moveOf(changed({ ...sgd, clipNorm }, local));
    // Four steps of that length, nearly in one direction.
    expect(norm(clipped) / (4 * clipNorm * HYPER.learningRate)).toBeGreaterThan(0.5);
    expect(norm(clipped) / (4 * clipNorm * HYPER.learningRate)).toBeLessThanOrEqual(1.0001);
    const whole = await moveOf(changed(sgd, local));
    expect(relativeDistance(await moveOf(changed({ ...sgd, clipNorm: 1e6 }, local)), whole)).toBeLessThan(1e-5);
    expect(norm(clipped)).toBeLessThan(norm(whole));
  });
});

function norm(vector: Float32Array): number {
  return Math.sqrt(sumOfSquares(vector));
}

function relativeDistance(a: Float32Array, b: Float32Array): number {
  return norm(a.map((value, i) => value - b[i]!)) / norm(b);
}

it('as an emulated device takes as long as that one for all of a call, and computes the same', async () => {
  const emulated = new EmulatedDevice({ samplesPerSecond: 1000, overheadMs: 100, jitter: 0 }, createRng('jitter'));
  const pauses: number[] = [];
  const pacer = new Pacer(1, { pause: (ms) => void pauses.push(ms) });
  const other = await TrainingSession.create({ engine, job: JOB, dataset: DATASET, memoryBytes: 2 ** 30, pacer, interrupts, emulated });
  try {
    expect(await other.measure()).toBe(1000);
    const { samples, lossSum, computeMs } = await other.gradient(RANGES);
    expect(lossSum).toBe((await session.gradient(RANGES)).lossSum);
    await other.evaluate('validation', 0, 60);
    // Whatever this machine took is no part of the rest.
    expect(pauses[0]! + computeMs).toBeGreaterThanOrEqual(100 + samples);
    expect(pauses[0]).toBeLessThan(100 + samples);
    expect(pauses[1]).toBeLessThan(100 + 60 / 3);
    expect(pauses).toHaveLength(2);
  } finally {
    await other.dispose();
  }
});
