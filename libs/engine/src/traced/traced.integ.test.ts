import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine, LongtailError, ModelSpec } from '@longtail/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Block, BlockContext, Model } from '../block.js';
import { conformanceCases, type ConformanceCase } from '../conformance/cases.js';
import { loadEngine } from '../load.js';
import { createModel } from '../models/create.js';
import { checkTraced } from './check.js';
import { traceModel } from './trace-model.js';

const folder = mkdtempSync(join(tmpdir(), 'longtail-traced-'));
afterAll(() => rmSync(folder, { recursive: true }));

let engine: Engine;
beforeAll(async () => {
  engine = await loadEngine('cpu');
});
afterAll(() => engine.dispose());

/** The loss and gradient of one batch. */
async function gradientOf(spec: ModelSpec, { loss, data, batch }: ConformanceCase): Promise<{ readonly loss: number; readonly gradient: Float32Array }> {
  const stage = await engine.build(spec, 'all', { loss, data, seed: 3 });
  const { lossSum } = await stage.gradient(batch);
  const gradient = new Float32Array(stage.layout.length);
  await stage.takeGradient(gradient);
  await stage.dispose();
  return { loss: lossSum, gradient };
}

describe('a traced model computes the same bits', () => {
  test.each(conformanceCases(folder).map((one) => [one.name, one] as const))('%s', async (name, one) => {
    const model = await createModel(one.spec, { ...one.data, loss: one.loss });
    const traced = join(folder, `${name}.traced.json`);
    writeFileSync(traced, JSON.stringify(traceModel(model, 'model.ts', () => undefined)));
    checkTraced(JSON.parse(JSON.stringify(traceModel(model, 'model.ts', () => undefined))), 'model.ts');
    const replayed = await gradientOf({ type: 'module', path: 'model.ts', options: {}, traced }, one);
    expect(replayed).toEqual(await gradientOf(one.spec, one));
    expect(replayed.gradient.some((value) => value !== 0)).toBe(true);
  });
});

type Apply = Block['apply'];

/** One block [5] → [3] of parameters [5, 3]. */
function oneBlock(apply: Apply, changes: Partial<Block> = {}): Model {
  const block: Block = { name: 'odd', parameters: [{ name: 'w', shape: [5, 3], init: { kind: 'ones' } }], outputShape: () => [3], apply, ...changes };
  return { inputShape: [5], inputType: 'float32', blocks: [block] };
}

describe('what a batch decides is kept as a line, anything else refused', () => {
  test.each<[string, Apply]>([
    ['a shape with the batch in it', ({ tf }, x, [w]) => tf.reshape(tf.matMul(tf.reshape(x, [x.shape[0], 5]), w as never), [x.shape[0], 3])],
    ['zeros of the shape of a batch', ({ tf }, x, [w]) => tf.add(tf.zeros([x.shape[0], 3]), tf.matMul(x as never, w as never))],
    ['tensors’ own methods', (_, x, [w]) => x.matMul(w as never).mul(2).softmax()],
    ['a mask with infinities', ({ tf }, x, [w]) => tf.clipByValue(tf.matMul(x as never, w as never), 0, Infinity)],
  ])('kept: %s', (_, apply) => {
    const traced = JSON.parse(JSON.stringify(traceModel(oneBlock(apply), 'model.ts', () => undefined))) as unknown;
    expect(checkTraced(traced, 'model.ts').blocks[0].steps.length).toBeGreaterThan(0);
  });

  const mean = ({ tf }: BlockContext, x: Parameters<Apply>[1], w: unknown): ReturnType<Apply> => tf.matMul(x as never, w as never);
  test.each<[string, Apply, string]>([
    ['a loop over samples', ({ tf }, x, [w]) => tf.stack(tf.unstack(mean({ tf } as never, x, w))), 'depends on how many samples'],
    ['an average over the batch by hand', ({ tf }, x, [w]) => tf.mul(mean({ tf } as never, x, w), 1 / x.shape[0]), 'depends on how many samples'],
    ['random numbers', ({ tf }, x, [w]) => tf.add(mean({ tf } as never, x, w), tf.randomNormal([x.shape[0], 3])), 'depends on how many samples'],
    ['values', ({ tf }, x, [w]) => (x.dataSync()[0] > 0 ? x : mean({ tf } as never, x, w)), 'reads the values of a tensor'],
    ['a gradient of its own', ({ tf }, x, [w]) => tf.customGrad((a) => ({ value: mean({ tf } as never, a as never, w), gradFunc: () => [] }))(x), 'tf.customGrad'],
    ['an operation without a gradient', ({ tf }, x, [w]) => tf.topk(mean({ tf } as never, x, w), 2).values, 'TopK'],
    ['another shape than it says', (_, x) => x, 'its apply gives a batch of [5], float32; by its outputShape it is a batch of [3], float32'],
    ['a tensor from elsewhere', () => elsewhere as never, 'was not made in its apply'],
  ])('refused: %s', (_, apply, message) => {
    expect(() => traceModel(oneBlock(apply), 'model.ts', () => undefined)).toThrow(expect.objectContaining({ code: 'invalid-file', message: expect.stringMatching(/^block odd: /) as string }) as LongtailError);
    expect(() => traceModel(oneBlock(apply), 'model.ts', () => undefined)).toThrow(message);
  });
  const elsewhere = { dataId: {}, shape: [3], dtype: 'float32' };
});
