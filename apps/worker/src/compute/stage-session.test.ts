import type { Batch, BlockRange, Dataset, Engine, HostTensor, Job, OptimizerSpec, ParameterLayout, StageUse } from '@longtail/core';
import { createRng, joinLayouts, sumOfSquares } from '@longtail/core';
import { loadEngine } from '@longtail/engine';
import { beforeAll, describe, expect, it } from 'vitest';
import { EmulatedDevice } from './emulated-device.js';
import { CallAborted, Interrupts } from './interrupts.js';
import { Pacer } from './pacer.js';
import { StageSession } from './stage-session.js';
import { TrainingSession } from './training-session.js';

const JOB = {
  name: 'test',
  model: { type: 'mlp', input: 6, hidden: [5, 4], outputs: 3 },
  loss: 'cross-entropy',
  data: { type: 'mnist' },
  sync: { strategy: 'bsp' },
  train: { batch: 16, optimizer: { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 }, seed: 3 },
} as unknown as Job;

/** Points in six dimensions with one of three labels. */
const DATASET: Dataset = {
  name: 'points',
  signature: { inputShape: [6], inputType: 'float32', targetShape: [], targetType: 'int32', classes: 3 },
  length: (split) => (split === 'train' ? 100 : 20),
  batch: (split, indices): Batch => {
    const list = [...indices];
    const inputs = Float32Array.from(list.flatMap((index) => Array.from({ length: 6 }, (_, k) => createRng(`${split}/${index}/${k}`).normal())));
    return {
      samples: list.length,
      inputs: { dtype: 'float32', shape: [list.length, 6], data: inputs },
      targets: { dtype: 'int32', shape: [list.length], data: Int32Array.from(list, (index) => index % 3) },
    };
  },
};

const RANGES = [
  [{ epoch: 0, start: 10, end: 18 }],
  [
    { epoch: 0, start: 18, end: 20 },
    { epoch: 1, start: 0, end: 3 },
  ],
];
const USE: StageUse = { microbatch: 8, inFlight: 2, recompute: false };

let engine: Engine;
const interrupts = new Interrupts();
const pauses: number[] = [];
const pacer = new Pacer(0.5, { pause: (ms) => void pauses.push(ms) });
beforeAll(async () => {
  engine = await loadEngine('cpu');
});

function stageOf(blocks: BlockRange, use: StageUse = USE, memoryBytes = 2 ** 30): Promise<StageSession> {
  return stagesOf([blocks], use, memoryBytes);
}

function stagesOf(stages: readonly BlockRange[], use: StageUse = USE, memoryBytes = 2 ** 30): Promise<StageSession> {
  const dataset = stages.some(({ start, end }) => start === 0 || end === 3) ? DATASET : undefined;
  return StageSession.create({ engine, job: JOB, stages, use, signature: DATASET.signature, dataset, memoryBytes, pacer, interrupts });
}

/** A transformer whose head reads the embedding's table again. Blocks: embedding, three layers, head. */
const GPT_JOB = { ...JOB, model: { type: 'gpt', vocabulary: 9, context: 4, width: 4, layers: 3, heads: 1, feedForward: 6 } } as Job;
const TOKENS: Dataset = {
  name: 'tokens',
  signature: { inputShape: [4], inputType: 'int32', targetShape: [4], targetType: 'int32', classes: 9 },
  length: DATASET.length,
  batch: (_, indices): Batch => {
    const tokens = (shift: number): HostTensor => ({
      dtype: 'int32',
      shape: [indices.length, 4],
      data: Int32Array.from([...indices].flatMap((index) => [0, 1, 2, 3].map((i) => (index + 2 * i + shift) % 9))),
    });
    return { samples: indices.length, inputs: tokens(0), targets: tokens(1) };
  },
};

const gptStages = () => {
  const use = { ...USE, inFlight: 4 };
  return { engine, job: GPT_JOB, use, signature: TOKENS.signature, dataset: TOKENS, memoryBytes: 2 ** 30, pacer, interrupts };
};

function byName(layouts: readonly ParameterLayout[], memory: SharedArrayBuffer): ReadonlyMap<string, Float32Array> {
  const vector = new Float32Array(memory);
  return new Map(joinLayouts(layouts).slots.map(({ name, offset, length }) => [name, vector.slice(offset, offset + length)]));
}

describe('StageSession', () => {
  it.each([{ halves: false }, { halves: true }])('chained stages leave the gradient of the whole model (halves: $halves)', async ({ halves }) => {
    const whole = await TrainingSession.create({ engine, job: JOB, dataset: DATASET, memoryBytes: 2 ** 30, pacer, interrupts });
    const expected = await whole.gradient(RANGES.flat());
    const gradient = new Float32Array(whole.shared.gradient);
    const stages = await Promise.all([0, 1, 2].map((start) => stageOf({ start, end: start + 1 })));
    for (const stage of stages) await stage.initialParameters();

    const total = { samples: 0, lossSum: 0, correct: 0 };
    for (const [microbatch, ranges] of RANGES.entries()) {
      let activation: HostTensor | undefined;
      for (const stage of stages) {
        const { output, stats } = await stage.forward(0, microbatch, ranges, activation);
        activation = output;
        for (const key of ['samples', 'lossSum', 'correct'] as const) total[key] += stats?.[key] ?? 0;
      }
    }
    expect(total.samples).toBe(expected.samples);
    expect(total.correct).toBe(expected.correct);
    expect(total.lossSum).toBeCloseTo(expected.lossSum, 4);

    for (const microbatch of RANGES.keys()) {
      let arriving: HostTensor | undefined;
      for (const stage of stages.toReversed()) {
        arriving = (await stage.backward(halves ? 'I' : 'B', 0, microbatch, arriving)).inputGradient;
        if (halves) expect((await stage.backward('W', 0, microbatch, undefined)).inputGradient).toBeUndefined();
      }
    }
    let offset = 0;
    for (const stage of stages) {
      expect(await stage.takeGradient()).toEqual({ samples: expected.samples });
      for (const value of new Float32Array(stage.shared.gradient)) expect(value).toBeCloseTo(gradient[offset++]!, 4);
      await stage.dispose();
    }
    expect(offset).toBe(gradient.length);
    await whole.dispose();
  });

  it('holds several stages beside each other, and what is tied between them once', async () => {
    const whole = await TrainingSession.create({ engine, job: GPT_JOB, dataset: TOKENS, memoryBytes: 2 ** 30, pacer, interrupts });
    const expected = await whole.gradient(RANGES.flat());
    const ends = await StageSession.create({ ...gptStages(), stages: [{ start: 0, end: 1 }, { start: 3, end: 5 }] });
    const middle = await StageSession.create({ ...gptStages(), stages: [{ start: 1, end: 3 }], dataset: undefined });
    const names = joinLayouts(ends.layouts).slots.map(({ name }) => name);
    expect(names.filter((name) => name === 'embedding.table')).toHaveLength(1);
    expect(ends.shared.gradient.byteLength).toBe(4 * joinLayouts(ends.layouts).length);
    for (const session of [ends, middle]) await session.initialParameters();
    let lossSum = 0;
    for (const [microbatch, ranges] of RANGES.entries()) {
      const first = await ends.forward(0, microbatch, ranges, undefined);
      const second = await middle.forward(0, microbatch, ranges, first.output);
      const last = await ends.forward(1, microbatch, ranges, second.output);
      lossSum += last.stats!.lossSum;
    }
    expect(lossSum).toBeCloseTo(expected.lossSum, 3);
    for (const microbatch of RANGES.keys()) {
      const last = await ends.backward('B', 1, microbatch, undefined);
      const second = await middle.backward('B', 0, microbatch, last.inputGradient);
      await ends.backward('B', 0, microbatch, second.inputGradient);
    }
    const gradients = byName(whole.layouts, whole.shared.gradient);
    for (const session of [ends, middle]) {
      expect(await session.takeGradient()).toEqual({ samples: expected.samples });
      for (const [name, values] of byName(session.layouts, session.shared.gradient)) {
        for (const [i, value] of values.entries()) expect(value, name).toBeCloseTo(gradients.get(name)![i], 4);
      }
    }
    expect(await ends.measure()).toBeGreaterThan(0);
    for (const session of [ends, middle, whole]) await session.dispose();
  });

  const adamw = { type: 'adam', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1, decoupled: true } as const;

  // Blocks of moments in 8 bits are others in a stage than in the whole model.
  it.each<[string, OptimizerSpec, number]>([
    ['AdamW', adamw, 1e-3],
    ['AdamW with moments in 8 bits', { ...adamw, stateBits: 8 }, 0.3],
    ['Muon', { ...adamw, muon: { momentum: 0.9 } }, 1e-3],
  ])('stages that step for themselves move as the whole model does: %s', async (_, optimizer, tolerance) => {
    const job = { ...GPT_JOB, sync: { strategy: 'diloco' }, train: { ...GPT_JOB.train, optimizer } } as Job;
    const whole = await TrainingSession.create({ engine, job, dataset: TOKENS, memoryBytes: 2 ** 30, pacer, interrupts });
    const ends = await StageSession.create({ ...gptStages(), job, stages: [{ start: 0, end: 1 }, { start: 3, end: 5 }] });
    const middle = await StageSession.create({ ...gptStages(), job, stages: [{ start: 1, end: 3 }], dataset: undefined });
    for (const session of [ends, middle]) await session.initialParameters();
    const hypers = [{ learningRate: 0.01 }, { learningRate: 0.02 }, { learningRate: 0.005 }];
    for (const hyper of hypers) {
      for (const [microbatch, ranges] of RANGES.entries()) {
        const first = await ends.forward(0, microbatch, ranges, undefined);
        const second = await middle.forward(0, microbatch, ranges, first.output);
        await ends.forward(1, microbatch, ranges, second.output);
        const last = await ends.backward('B', 1, microbatch, undefined);
        const back = await middle.backward('B', 0, microbatch, last.inputGradient);
        await ends.backward('B', 0, microbatch, back.inputGradient);
      }
      for (const session of [ends, middle]) {
        const { samples } = await session.takeGradient();
        await session.stepStages(samples, hyper);
      }
    }
    await whole.localSteps({ batches: hypers.map((hyper) => ({ ranges: RANGES.flat(), hyper })), result: 'move' }, () => undefined);
    const moves = byName(whole.layouts, whole.shared.gradient);
    for (const session of [ends, middle]) {
      await session.takeMove();
      const own = byName(session.layouts, session.shared.gradient);
      let [squares, errors] = [0, 0];
      for (const [name, values] of own) {
        squares += sumOfSquares(moves.get(name)!);
        errors += sumOfSquares(values.map((value, i) => value - moves.get(name)![i]));
      }
      expect(Math.sqrt(errors / squares)).toBeLessThan(tolerance);
    }
    for (const session of [ends, middle, whole]) await session.dispose();
  });

  it('steps for itself also where that was chosen after it was prepared, if it has room for that', async () => {
    const job = { ...GPT_JOB, sync: { strategy: 'auto' }, train: { ...GPT_JOB.train, optimizer: adamw } } as Job;
    const prepared = async (memoryBytes: number) => {
      const session = await StageSession.create({ ...gptStages(), job, stages: [{ start: 1, end: 3 }], dataset: undefined, memoryBytes });
      await session.measure();
      await session.initialParameters();
      return session;
    };
    const stepped = async (session: StageSession) => {
      new Float32Array(session.shared.gradient).fill(1);
      await session.stepStages(1, { learningRate: 0.01 });
    };
    const session = await prepared(2 ** 30);
    await stepped(session);
    await session.takeMove();
    for (const moved of new Float32Array(session.shared.gradient)) expect(moved).toBeCloseTo(0.01, 2);
    const moments = 8 * session.layouts[0]!.length;
    const tight = await prepared(session.memoryBytes - 1);
    expect(tight.memoryBytes).toBe(session.memoryBytes - moments);
    await expect(stepped(tight)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('state') });
    for (const each of [session, tight]) await each.dispose();
  });

  it('has room for so many microbatches over all of its stages', async () => {
    const stages = await stagesOf([{ start: 0, end: 1 }, { start: 2, end: 3 }]);
    const activation: HostTensor = { dtype: 'float32', shape: [8, 4], data: new Float32Array(32) };
    await stages.forward(0, 0, RANGES[0]!, undefined);
    await stages.forward(1, 0, RANGES[0]!, activation);
    await expect(stages.forward(0, 1, RANGES[0]!, undefined)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('number 3 in flight') });
    await stages.dispose();
  });

  it('evaluates in order, without a stash', async () => {
    const [first, last] = [await stageOf({ start: 0, end: 2 }), await stageOf({ start: 2, end: 3 })];
    const { output } = await first.evaluate(0, 'validation', 4, 12, undefined);
    const { stats } = await last.evaluate(0, 'validation', 4, 12, output);
    const whole = await TrainingSession.create({ engine, job: JOB, dataset: DATASET, memoryBytes: 2 ** 30, pacer, interrupts });
    expect(stats).toEqual({ ...(await whole.evaluate('validation', 4, 12)), computeMs: undefined });
    for (const session of [first, last, whole]) await session.dispose();
  });

  it('says what it needs and what is offered before it builds anything', async () => {
    await expect(stageOf({ start: 0, end: 2 }, { ...USE, microbatch: 1000 }, 100_000)).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/^a stage of test with blocks 0 to 1 \(hidden0 … hidden1\) needs .* KiB, this node offers 97.7 KiB: parameters .* stash /),
      hint: expect.stringContaining('--memory'),
    });
  });

  it('holds what a microbatch really takes against the offer', async () => {
    const stage = await stageOf({ start: 1, end: 2 }, { ...USE, inFlight: 16 }, 4600);
    await expect(stage.measure()).rejects.toMatchObject({ code: 'refused' });
    await stage.dispose();
    const frugal = await stageOf({ start: 1, end: 2 }, { ...USE, inFlight: 16, recompute: true }, 4600);
    expect(await frugal.measure()).toBeGreaterThan(0);
    await frugal.dispose();
  });

  it('keeps what is not finite to itself, and says whose it is', async () => {
    const middle = await stageOf({ start: 1, end: 2 });
    const activation = (value: number): HostTensor => ({ dtype: 'float32', shape: [8, 5], data: new Float32Array(40).fill(value) });
    await middle.initialParameters();
    await middle.forward(0, 0, RANGES[0]!, activation(1));
    const huge = middle.forward(0, 1, RANGES[0]!, activation(Infinity));
    await expect(huge).rejects.toMatchObject({ code: 'diverged', message: 'the activation that leaves blocks 1 to 1 is not finite, as what it came from was not' });
    await middle.dropPasses();
    await middle.forward(0, 0, RANGES[0]!, activation(1));
    await expect(middle.backward('B', 0, 0, { dtype: 'float32', shape: [8, 4], data: new Float32Array(32).fill(NaN) })).rejects.toMatchObject({ code: 'diverged' });
    await middle.dispose();
  });

  it('takes no more microbatches than it was prepared for', async () => {
    const stage = await stageOf({ start: 0, end: 1 });
    for (const microbatch of [0, 1]) await stage.forward(0, microbatch, RANGES[0]!, undefined);
    await expect(stage.forward(0, 2, RANGES[0]!, undefined)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('number 3 in flight') });
    await stage.dropPasses();
    await stage.forward(0, 2, RANGES[0]!, undefined);
    await stage.dispose();
  });

  it('does not pace what the engine prepares for a new size', async () => {
    const slow = {
      ...engine,
      build: async (...args: Parameters<Engine['build']>) => {
        const stage = await engine.build(...args);
        const forward = stage.forward.bind(stage);
        const sizes = new Set<number>();
        stage.forward = async (microbatch, input, targets) => {
          if (!sizes.has(input.shape[0]!)) await new Promise((resolve) => setTimeout(resolve, 200));
          sizes.add(input.shape[0]!);
          return forward(microbatch, input, targets);
        };
        return stage;
      },
    } as Engine;
    const blocks = { start: 0, end: 1 };
    const options = { engine: slow, job: JOB, stages: [blocks], use: USE, signature: DATASET.signature, dataset: DATASET, memoryBytes: 2 ** 30, pacer, interrupts };
    const stage = await StageSession.create(options);
    await stage.measure();
    pauses.length = 0;
    await stage.forward(0, 0, RANGES[1]!, undefined);
    expect(pauses.reduce((sum, ms) => sum + ms, 0)).toBeLessThan(100);
    await stage.dispose();
  });

  it('does nothing for a call that was aborted before it began, and rests after each pass', async () => {
    const stage = await stageOf({ start: 0, end: 1 });
    interrupts.abort();
    await expect(stage.forward(0, 0, RANGES[0]!, undefined)).rejects.toThrow(CallAborted);
    interrupts.clear();
    pauses.length = 0;
    const { computeMs } = await stage.forward(0, 0, RANGES[0]!, undefined);
    expect(computeMs).toBeGreaterThan(0);
    expect(pauses).toHaveLength(1);
    await stage.dispose();
  });
});

it('as an emulated device takes the parts of its passes that its blocks are', async () => {
  const emulated = new EmulatedDevice({ samplesPerSecond: 10, overheadMs: 0, jitter: 0 }, createRng('jitter'));
  const stages = [{ start: 0, end: 2 }, { start: 2, end: 3 }];
  const session = await StageSession.create({ engine, job: JOB, stages, use: USE, signature: DATASET.signature, dataset: DATASET, memoryBytes: 2 ** 30, pacer, interrupts, emulated });
  try {
    expect(await session.measure()).toBeCloseTo(10); // both stages are the whole model
    pauses.length = 0;
    const startMs = performance.now();
    const { output } = await session.forward(0, 0, [{ epoch: 0, start: 0, end: 8 }], undefined);
    await session.forward(1, 0, [{ epoch: 0, start: 0, end: 8 }], output);
    const { inputGradient } = await session.backward('B', 1, 0, undefined);
    await session.backward('I', 0, 0, inputGradient);
    await session.backward('W', 0, 0, undefined);
    const rested = pauses.reduce((sum, ms) => sum + ms, 0);
    expect(pauses).toHaveLength(5);
    expect(rested).toBeLessThan(800);
    expect(rested + performance.now() - startMs).toBeGreaterThanOrEqual(800);
  } finally {
    await session.dispose();
  }
});
