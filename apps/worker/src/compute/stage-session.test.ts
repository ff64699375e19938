import type { Batch, BlockRange, Dataset, Engine, HostTensor, Job, StageUse } from '@longtail/core';
import { createRng } from '@longtail/core';
import { loadEngine } from '@longtail/engine';
import { beforeAll, describe, expect, it } from 'vitest';
import { CallAborted, Interrupts } from './interrupts.js';
import { Pacer } from './pacer.js';
import { StageSession } from './stage-session.js';
import { TrainingSession } from './training-session.js';

const JOB = {
  name: 'test',
  model: { type: 'mlp', input: 6, hidden: [5, 4], outputs: 3 },
  loss: 'cross-entropy',
  data: { type: 'mnist' },
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
  const dataset = blocks.start === 0 || blocks.end === 3 ? DATASET : undefined;
  return StageSession.create({ engine, job: JOB, blocks, use, signature: DATASET.signature, dataset, memoryBytes, pacer, interrupts });
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
        const { output, stats } = await stage.forward(microbatch, ranges, activation);
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
        arriving = (await stage.backward(halves ? 'I' : 'B', microbatch, arriving)).inputGradient;
        if (halves) expect((await stage.backward('W', microbatch, undefined)).inputGradient).toBeUndefined();
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

  it('evaluates in order, without a stash', async () => {
    const [first, last] = [await stageOf({ start: 0, end: 2 }), await stageOf({ start: 2, end: 3 })];
    const { output } = await first.evaluate('validation', 4, 12, undefined);
    const { stats } = await last.evaluate('validation', 4, 12, output);
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

  it('takes no more microbatches than it was prepared for', async () => {
    const stage = await stageOf({ start: 0, end: 1 });
    for (const microbatch of [0, 1]) await stage.forward(microbatch, RANGES[0]!, undefined);
    await expect(stage.forward(2, RANGES[0]!, undefined)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('number 3 in flight') });
    await stage.dropPasses();
    await stage.forward(2, RANGES[0]!, undefined);
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
    const options = { engine: slow, job: JOB, blocks, use: USE, signature: DATASET.signature, dataset: DATASET, memoryBytes: 2 ** 30, pacer, interrupts };
    const stage = await StageSession.create(options);
    await stage.measure();
    pauses.length = 0;
    await stage.forward(0, RANGES[1]!, undefined);
    expect(pauses).toHaveLength(1);
    expect(pauses[0]).toBeLessThan(100);
    await stage.dispose();
  });

  it('does nothing for a call that was aborted before it began, and rests after each pass', async () => {
    const stage = await stageOf({ start: 0, end: 1 });
    interrupts.abort();
    await expect(stage.forward(0, RANGES[0]!, undefined)).rejects.toThrow(CallAborted);
    interrupts.clear();
    pauses.length = 0;
    const { computeMs } = await stage.forward(0, RANGES[0]!, undefined);
    expect(computeMs).toBeGreaterThan(0);
    expect(pauses).toHaveLength(1);
    await stage.dispose();
  });
});
