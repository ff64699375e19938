import type { Batch, OptimizerSpec } from '@longtail/core';
import { createRng } from '@longtail/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Block, Model, ParameterSpec } from '../block.js';
import { EagerStage } from '../eager/stage.js';
import { initialParameters } from '../initialize.js';
import { naiveOps } from '../ops/naive.js';
import { stageModel } from '../stage-model.js';
import { expectUnavailable } from '../conformance/unavailable.js';
import { findBinding } from './binding.js';
import { loadContext } from './engine.js';
import { TracedStage } from './stage.js';

const ADAM: OptimizerSpec = { type: 'adam', beta1: 0.9, beta2: 0.99, epsilon: 1e-3, weightDecay: 0.01, decoupled: true };
const CLASSES = 3;
/** Random layers can cancel nearly all of a gradient (a norm over values that lie close together), and keep its rounding. */
const CONDITIONED = 1e-4;

type Layer = 'linear' | 'relu' | 'gelu' | 'layerNorm' | 'rmsNorm' | 'residual' | 'convolution' | 'scale';

function parametersOf(layer: Layer, width: number): ParameterSpec[] {
  const matrix: ParameterSpec = { name: 'matrix', shape: [width, width], init: { kind: 'normal', std: 0.5 } };
  const vector = (name: string): ParameterSpec => ({ name, shape: [width], init: { kind: 'normal', std: 1 } });
  switch (layer) {
    case 'linear':
    case 'residual':
      return [matrix, vector('bias')];
    case 'convolution':
      return [{ ...matrix, shape: [1, 1, width, width] }, vector('bias')];
    case 'layerNorm':
      return [vector('gain'), vector('bias')];
    case 'rmsNorm':
      return [vector('gain')];
    case 'scale':
      return [{ ...vector('gain'), trainable: false }];
    default:
      return [];
  }
}

/** A block of width-preserving layers on vectors of `width`. */
function block(name: string, layers: readonly Layer[], width: number, outputs: number): Block {
  const parameters = layers.flatMap((layer, i) => parametersOf(layer, width).map((spec) => ({ ...spec, name: `${i}.${spec.name}` })));
  return {
    name,
    parameters:
      outputs === width ? parameters : [...parameters, { name: 'head', shape: [width, outputs], init: { kind: 'normal', std: 0.5 } }],
    outputShape: () => [outputs],
    apply: ({ tf, ops }, input, all) => {
      const weights = [...all];
      const next = () => weights.shift() as never;
      const x = layers.reduce(
        (h, layer) => {
          switch (layer) {
            case 'linear':
              return ops.linear(h, next(), next());
            case 'residual':
              return tf.add(h, ops.linear(ops.relu(h) as typeof h, next(), next())) as typeof h;
            case 'layerNorm':
              return ops.layerNorm(h, next(), next());
            case 'rmsNorm':
              return ops.rmsNorm(h, next());
            case 'scale':
              return tf.mul(h, next());
            case 'convolution':
              return tf.reshape(ops.conv2d(tf.reshape(h, [h.shape[0], 1, 1, width]), next(), next(), 1, 'valid'), h.shape);
            case 'relu':
              return ops.relu(h) as typeof h;
            case 'gelu':
              return ops.gelu(h) as typeof h;
          }
        },
        input as Parameters<typeof ops.linear>[0],
      );
      return outputs === width ? x : ops.linear(x, next());
    },
  };
}

function model(layers: readonly (readonly Layer[])[], width: number): Model {
  return {
    inputShape: [width],
    inputType: 'float32',
    blocks: layers.map((list, i) => block(`block${i}`, list, width, i === layers.length - 1 ? CLASSES : width)),
  };
}

function batchOf(samples: number, width: number, seed: number): Batch {
  const rng = createRng(seed);
  return {
    samples,
    inputs: { dtype: 'float32', shape: [samples, width], data: Float32Array.from({ length: samples * width }, () => rng.normal()) },
    targets: { dtype: 'int32', shape: [samples], data: Int32Array.from({ length: samples }, () => rng.below(CLASSES)) },
  };
}

const distance = (a: Float32Array, b: Float32Array): number => Math.hypot(...a.map((x, i) => x - b[i])) / Math.max(Math.hypot(...b), 1e-6);

if (findBinding() === undefined) expectUnavailable('tensorflow');
else describe('a traced stage', describeTracedStage);

async function describeTracedStage(): Promise<void> {
  const context = await loadContext({});
  const { tf, binding } = context;
  const eager = {
    info: { name: 'tensorflow', description: 'eager', device: 'cpu' },
    tf,
    ops: naiveOps(tf),
    read: async (tensor: { data(): Promise<unknown> }, out: Float32Array) => out.set((await tensor.data()) as Float32Array),
  } as const;
  const options = (parameters: Float32Array) => ({ loss: 'cross-entropy', maxMicrobatch: 64, recompute: false, parameters }) as const;

  const build = (built: Model) => {
    const whole = stageModel(built, 'all');
    return {
      traced: new TracedStage(context, whole, options(initialParameters(whole, 3))),
      oracle: new EagerStage(eager, whole, options(initialParameters(whole, 3))),
      length: whole.layout.length,
    };
  };

  test('equals the eager one on random blocks and batches', { timeout: 60_000 }, async () => {
    const layer = fc.constantFrom<Layer>('linear', 'relu', 'gelu', 'layerNorm', 'rmsNorm', 'residual', 'convolution', 'scale');
    const blocks = fc.array(fc.array(layer, { maxLength: 3 }), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(blocks, fc.integer({ min: 3, max: 9 }), fc.integer({ min: 1, max: 40 }), async (layers, width, samples) => {
        const { traced, oracle, length } = build(model(layers, width));
        const batch = batchOf(samples, width, samples);
        const [a, b] = [new Float32Array(length), new Float32Array(length)];
        for (const [stage, out] of [
          [traced, a],
          [oracle, b],
        ] as const) {
          const stats = await stage.gradient(batch);
          expect(stats.samples).toBe(samples);
          await stage.takeGradient(out);
        }
        expect(distance(a, b)).toBeLessThan(CONDITIONED);
        for (const [stage, out] of [
          [traced, a],
          [oracle, b],
        ] as const) {
          await stage.useOptimizer(ADAM);
          await stage.step(batch, { learningRate: 0.01 });
          await stage.step(batch, { learningRate: 0.005 });
          await stage.readParameters(out);
          await stage.dispose();
        }
        expect(distance(a, b)).toBeLessThan(CONDITIONED);
      }),
      { numRuns: 8 },
    );
  });

  test('backward uses the weights of its forward, whatever was written or stepped in between', async () => {
    const built = model([['linear', 'gelu', 'residual']], 4);
    const batch = batchOf(5, 4, 1);
    const gradientAfter = async (between: (stage: TracedStage) => Promise<unknown>): Promise<Float32Array> => {
      const { traced, oracle, length } = build(built);
      const out = new Float32Array(length);
      await traced.useOptimizer(ADAM);
      await traced.forward(0, batch.inputs, batch.targets);
      await between(traced);
      await traced.backward(0);
      await traced.takeGradient(out);
      await Promise.all([traced.dispose(), oracle.dispose()]);
      return out;
    };
    const untouched = await gradientAfter(async () => undefined);
    expect(untouched.some((value) => value !== 0)).toBe(true);
    expect(await gradientAfter((stage) => stage.writeParameters(new Float32Array(untouched.length)))).toEqual(untouched);
    expect(await gradientAfter((stage) => stage.step(batch, { learningRate: 1 }))).toEqual(untouched);
  });

  test('batches of any size see the parameters that others have changed', async () => {
    const { traced, oracle, length } = build(model([['linear', 'relu']], 5));
    const [a, b] = [new Float32Array(length), new Float32Array(length)];
    for (const [stage, out] of [
      [traced, a],
      [oracle, b],
    ] as const) {
      await stage.useOptimizer(ADAM);
      for (const samples of [32, 7, 33, 150, 1]) await stage.step(batchOf(samples, 5, samples), { learningRate: 0.02 });
      await stage.readParameters(out);
      await stage.dispose();
    }
    expect(distance(a, b)).toBeLessThan(1e-5);
  });

  test('takes and gives vectors of shared memory', async () => {
    const { traced, oracle, length } = build(model([['linear']], 6));
    const shared = new Float32Array(new SharedArrayBuffer(length * 4)).map((_, i) => i / length);
    const flat = new Float32Array(new SharedArrayBuffer(length * 4 + 4), 4, length); // not aligned as TensorFlow wants it
    await traced.writeParameters(shared);
    await traced.readParameters(flat);
    expect(Array.from(flat)).toEqual(Array.from(shared));
    await Promise.all([traced.dispose(), oracle.dispose()]);
  });

  test('tells a batch that does not fit', async () => {
    const { traced, oracle } = build(model([['linear']], 6));
    await expect(traced.gradient(batchOf(4, 5, 1))).rejects.toMatchObject({ code: 'invalid-data' });
    await Promise.all([traced.dispose(), oracle.dispose()]);
  });

  test('memory is flat over many steps, and a stage leaves nothing', { timeout: 60_000 }, async () => {
    const counts = () => [tf.memory().numTensors, binding.getNumOfTensors(), binding.getNumOfSavedModels()];
    const before = counts();
    const { traced, oracle, length } = build(
      model(
        [
          ['linear', 'gelu'],
          ['layerNorm', 'residual'],
        ],
        64,
      ),
    );
    await oracle.dispose();
    await traced.useOptimizer(ADAM);
    const [batch, flat] = [batchOf(32, 64, 1), new Float32Array(length)];
    const round = async () => {
      await traced.step(batch, { learningRate: 1e-3 });
      await traced.gradient(batch);
      await traced.takeGradient(flat);
      await traced.readParameters(flat);
      await traced.writeParameters(flat);
    };
    // The heap of JavaScript and of C grow by steps, the more so while other work delays their collectors: what counts is
    // the least growth of three stretches, which a leak would be in each of.
    for (let i = 0; i < 400; i++) await round();
    const open = counts();
    const growths: number[] = [];
    for (let stretch = 0; stretch < 3; stretch++) {
      const memory = process.memoryUsage.rss();
      for (let i = 0; i < 500; i++) await round();
      growths.push(process.memoryUsage.rss() - memory);
    }
    expect(counts()).toEqual(open);
    // A leak of one gradient a step would be 35 MB.
    expect(Math.min(...growths)).toBeLessThan(12 * 2 ** 20);
    await traced.dispose();
    expect(counts()).toEqual(before);
  });

  test.each([{ recompute: false }, { recompute: true }])('memory is flat over many microbatches (recompute: $recompute)', { timeout: 60_000 }, async ({ recompute }) => {
    const counts = () => [tf.memory().numTensors, binding.getNumOfTensors(), binding.getNumOfSavedModels()];
    const before = counts();
    const whole = stageModel(model([['linear', 'gelu'], ['layerNorm', 'residual']], 64), 'all');
    const stage = new TracedStage(context, whole, { loss: 'cross-entropy', maxMicrobatch: 64, recompute, parameters: initialParameters(whole, 3) });
    const [{ inputs, targets }, flat] = [batchOf(64, 64, 1), new Float32Array(whole.layout.length)];
    const round = async () => {
      for (const microbatch of [0, 1, 2]) await stage.forward(microbatch, inputs, targets);
      await stage.backward(1);
      await stage.backwardInput(0);
      await stage.infer(inputs, targets);
      await stage.backwardWeights(0);
      await stage.takeGradient(flat);
      await stage.dropPasses();
    };
    for (let i = 0; i < 100; i++) await round();
    const [open, memory] = [counts(), process.memoryUsage.rss()];
    for (let i = 0; i < 700; i++) await round();
    expect(counts()).toEqual(open);
    // A leak of one stash a round would be over 50 MB.
    expect(process.memoryUsage.rss() - memory).toBeLessThan(30 * 2 ** 20);
    await stage.dispose();
    expect(counts()).toEqual(before);
  });
}
