import { createRng } from '@longtail/core';
import type { Batch, BatchStats, Engine, HostTensor, Rng, Stage } from '@longtail/core';
import { describe, expect, test } from 'vitest';
import { loadTfjs } from '../eager/tfjs.js';
import { createModel } from '../models/create.js';
import { randomBatch } from './cases.js';
import type { ConformanceCase } from './cases.js';
import { expectClose, expectStats } from './compare.js';
import { build, take, wholeGradient } from './stages.js';
import type { Oracle } from './stages.js';

/** How the backward pass is done: whole, or its two halves with other microbatches in between. */
type Backward = 'B' | 'I, W';

const WAYS: readonly { readonly backward: Backward; readonly recompute: boolean }[] = [
  { backward: 'B', recompute: false },
  { backward: 'I, W', recompute: false },
  { backward: 'B', recompute: true },
  { backward: 'I, W', recompute: true },
];

/** What a model promises that is cut into stages: wherever it is cut, and however its passes are ordered, it is the whole. */
export function describePipelines(engine: () => Engine, cases: readonly ConformanceCase[], oracles: ReadonlyMap<string, Oracle>, slow: boolean): void {
  describe.each(cases)('$name, cut into stages', (testCase) => {
    // A slow engine does each once: both ways back, with recompute and without.
    test.each(slow ? [WAYS[0]!, WAYS[3]!] : WAYS)('is the whole model: $backward, recompute $recompute', async ({ backward, recompute }) => {
      const rng = createRng(`${testCase.name}/${backward}/${recompute}`);
      for (let round = 0; round < (slow ? 1 : 2); round++) {
        const cuts = await randomCuts(testCase, round === 0 ? 'every block' : rng);
        await expectWhole(engine(), testCase, { cuts, recompute, backward, rng }, oracles.get(testCase.name)!);
      }
    });
  });

  test('microbatches of odd sizes add up to the whole', async () => {
    const base = cases.find(({ name }) => name === 'cnn')!;
    const testCase = { ...base, batch: randomBatch('odd', base.data, slow ? 7 : 58) };
    const oracle = await wholeGradient(engine(), testCase);
    const sizes = slow ? [4, 3] : [17, 33, 8];
    for (const backward of ['B', 'I, W'] as const) {
      await expectWhole(engine(), testCase, { cuts: await randomCuts(testCase, 'every block'), recompute: false, backward, rng: createRng('odd'), sizes }, oracle);
    }
  });

  test('backward uses the parameters of its forward', async () => {
    const testCase = cases[0];
    const [, first] = await randomCuts(testCase, 'every block');
    const changes: readonly ((stage: Stage) => Promise<void>)[] = [
      async () => undefined,
      (stage) => stage.writeParameters(new Float32Array(stage.layout.length)),
      async (stage) => {
        await stage.useOptimizer({ type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 });
        await stage.applyGradient(new Float32Array(stage.layout.length).fill(1), 1, { learningRate: 1 });
      },
    ];
    for (const recompute of [false, true]) {
      for (const blocks of ['all', { start: 0, end: first }] as const) {
        const gradients = [];
        for (const change of changes) {
          const stage = await build(engine(), testCase, undefined, blocks, recompute);
          const { output } = await stage.forward(0, testCase.batch.inputs, testCase.batch.targets);
          await change(stage);
          await stage.backward(0, stage.isLast ? undefined : output);
          gradients.push((await take(stage)).gradient);
          await stage.dispose();
        }
        for (const gradient of gradients) expect(gradient, `recompute ${recompute}`).toEqual(gradients[0]);
      }
    }
  });

  test('the stash is what is reported: it comes and goes with microbatches, and is the least with recompute', async () => {
    const testCase = cases.find(({ name }) => name === 'gpt')!;
    const { length } = (await createModel(testCase.spec, { ...testCase.data, loss: testCase.loss })).blocks;
    const activation = randomActivation(testCase.batch.samples, [6, 8]);
    const held = new Map<boolean, number>();
    for (const recompute of [false, true]) {
      const stage = await build(engine(), testCase, undefined, { start: 1, end: length - 1 }, recompute);
      expect(stage.stashBytes).toBe(0);
      await stage.forward(0, activation);
      held.set(recompute, stage.stashBytes);
      await stage.forward(1, activation);
      expect(stage.stashBytes).toBe(2 * held.get(recompute)!);
      await stage.backwardInput(0, activation);
      expect(stage.stashBytes).toBeGreaterThan(held.get(recompute)!);
      await stage.backwardWeights(0);
      expect(stage.stashBytes).toBe(held.get(recompute));
      await stage.backward(1, activation);
      await stage.infer(activation);
      expect(stage.stashBytes).toBe(0);
      await stage.forward(2, activation);
      await stage.forward(3, activation);
      await stage.dropPasses([2]);
      expect(stage.stashBytes).toBe(held.get(recompute));
      await stage.backward(3, activation);
      await stage.forward(4, activation);
      await stage.dropPasses();
      expect(stage.stashBytes).toBe(0);
      expect((await take(stage)).samples, 'the sum is dropped too').toBe(0);
      await stage.dispose();
    }
    expect(held.get(true)).toBe(4 * activation.data.length);
    expect(held.get(true)).toBeLessThan(held.get(false)! / 4);
  });

  test('passes leave no tensor behind', async () => {
    const testCase = cases.find(({ name }) => name === 'gpt')!;
    const { inputs, targets } = testCase.batch;
    for (const recompute of [false, true]) {
      const stage = await build(engine(), testCase, undefined, 'all', recompute);
      const round = async (): Promise<void> => {
        await stage.forward(0, inputs, targets);
        await stage.forward(1, inputs, targets);
        await stage.backward(0);
        await stage.backwardInput(1);
        await stage.infer(inputs, targets);
        await stage.backwardWeights(1);
        await take(stage);
        await stage.forward(2, inputs, targets);
        await stage.dropPasses();
      };
      await round();
      const before = loadTfjs().memory();
      for (let i = 0; i < (slow ? 1 : 5); i++) await round();
      const after = loadTfjs().memory();
      expect([after.numTensors, after.numBytes]).toEqual([before.numTensors, before.numBytes]);
      await stage.dispose();
    }
  });

  test('says when passes come in no order that makes sense', async () => {
    const testCase = cases[0];
    const { inputs, targets } = testCase.batch;
    const stage = await build(engine(), testCase);
    await expect(stage.backward(0)).rejects.toThrow('microbatch 0 has no forward pass');
    await expect(stage.backwardWeights(0)).rejects.toThrow('microbatch 0 has no gradient of its input yet');
    await expect(stage.forward(0, inputs)).rejects.toThrow('the last stage takes targets');
    await stage.forward(0, inputs, targets);
    await expect(stage.forward(0, inputs, targets)).rejects.toThrow('microbatch 0 waits for its backward pass');
    await stage.backwardInput(0);
    await expect(stage.backward(0)).rejects.toThrow('has its gradient of the input already');
    await stage.backwardWeights(0);
    await stage.dispose();
  });
}

interface Pipeline {
  readonly cuts: readonly number[];
  readonly recompute: boolean;
  readonly backward: Backward;
  readonly rng: Rng;
  /** Of the microbatches; random when left out. */
  readonly sizes?: readonly number[];
}

async function expectWhole(engine: Engine, testCase: ConformanceCase, { cuts, recompute, backward, rng, sizes }: Pipeline, oracle: Oracle): Promise<void> {
  const stages: Stage[] = [];
  for (let i = 0; i + 1 < cuts.length; i++) stages.push(await build(engine, testCase, undefined, { start: cuts[i], end: cuts[i + 1] }, recompute));
  const whole = await build(engine, testCase);
  const parts = split(testCase.batch, sizes ?? randomSizes(testCase.batch.samples, rng));
  const { losses, stats } = await forwardAll(stages, parts);
  await backwardAll(stages, parts.length, backward, rng);
  for (const stage of stages) expect(stage.stashBytes).toBe(0);

  const gradient = await gatherByName(stages, whole, testCase.batch.samples);
  expectClose(whole.layout, gradient, oracle.gradient);
  expectSame(`losses, cut at ${cuts.join()}`, losses, oracle.losses);
  expectStats(stats, oracle.stats);
  for (const stage of [...stages, whole]) await stage.dispose();
}

function expectSame(name: string, actual: Float32Array, expected: Float32Array): void {
  const { length } = expected;
  expectClose({ slots: [{ name, shape: [length], offset: 0, length, trainable: true }], length }, actual, expected);
}

/** All microbatches through all stages; without a stash the outputs are the same. */
async function forwardAll(stages: readonly Stage[], parts: readonly Batch[]): Promise<{ losses: Float32Array; stats: BatchStats }> {
  const losses: number[] = [];
  const stats = { samples: 0, targets: 0, lossSum: 0, correct: 0 };
  for (const [microbatch, part] of parts.entries()) {
    let activation = part.inputs;
    for (const stage of stages) {
      const targets = stage.isLast ? part.targets : undefined;
      const inferred = await stage.infer(activation, targets);
      const result = await stage.forward(microbatch, activation, targets);
      expect(inferred.output.shape).toEqual(result.output.shape);
      expectSame('output without a stash', inferred.output.data as Float32Array, result.output.data as Float32Array);
      activation = result.output;
      expect(result.stats !== undefined).toBe(stage.isLast);
      for (const key of ['samples', 'targets', 'lossSum', 'correct'] as const) stats[key] += result.stats?.[key] ?? 0;
    }
    expect(activation.shape).toEqual([part.samples]);
    losses.push(...activation.data);
  }
  return { losses: Float32Array.from(losses), stats };
}

async function backwardAll(stages: readonly Stage[], microbatches: number, backward: Backward, rng: Rng): Promise<void> {
  const order = shuffled(Array.from({ length: microbatches }, (_, i) => i), rng);
  for (const microbatch of order) {
    let gradient: HostTensor | undefined;
    for (const stage of [...stages].reverse()) {
      gradient = backward === 'B' ? await stage.backward(microbatch, gradient) : await stage.backwardInput(microbatch, gradient);
    }
    expect(gradient, 'the first stage gives no gradient of the data').toBeUndefined();
  }
  if (backward === 'B') return;
  for (const stage of stages) for (const microbatch of shuffled(order, rng)) await stage.backwardWeights(microbatch);
}

/** The stages' gradient sums in the layout of the whole model; tied parameters of two stages add up. */
async function gatherByName(stages: readonly Stage[], whole: Stage, samples: number): Promise<Float32Array> {
  const gathered = new Float32Array(whole.layout.length);
  for (const stage of stages) {
    const taken = await take(stage);
    expect(taken.samples).toBe(samples);
    for (const slot of stage.layout.slots) {
      const { offset } = whole.layout.slots.find(({ name }) => name === slot.name)!;
      for (let i = 0; i < slot.length; i++) gathered[offset + i] += taken.gradient[slot.offset + i];
    }
  }
  return gathered;
}

/** Boundaries of stages, both ends included. */
async function randomCuts(testCase: ConformanceCase, rng: Rng | 'every block'): Promise<number[]> {
  const { blocks } = await createModel(testCase.spec, { ...testCase.data, loss: testCase.loss });
  const inner = Array.from({ length: blocks.length - 1 }, (_, i) => i + 1);
  return [0, ...inner.filter(() => rng === 'every block' || rng.uniform() < 0.5), blocks.length];
}

function randomSizes(samples: number, rng: Rng): number[] {
  const sizes: number[] = [];
  for (let left = samples; left > 0; left -= sizes.at(-1)!) sizes.push(1 + rng.below(Math.min(left, 3)));
  return sizes;
}

function shuffled(values: readonly number[], rng: Rng): number[] {
  return values.map((value) => ({ value, key: rng.uniform() })).sort((a, b) => a.key - b.key).map(({ value }) => value);
}

function randomActivation(samples: number, shape: readonly number[]): HostTensor {
  const rng = createRng('activation');
  const length = shape.reduce((product, extent) => product * extent, samples);
  return { dtype: 'float32', shape: [samples, ...shape], data: Float32Array.from({ length }, () => rng.normal()) };
}

function split(batch: Batch, sizes: readonly number[]): Batch[] {
  let start = 0;
  return sizes.map((samples) => {
    const cut = ({ dtype, shape, data }: HostTensor): HostTensor => {
      const width = data.length / shape[0];
      return { dtype, shape: [samples, ...shape.slice(1)], data: data.slice(start * width, (start + samples) * width) };
    };
    const part = { inputs: cut(batch.inputs), targets: cut(batch.targets), samples };
    start += samples;
    return part;
  });
}
