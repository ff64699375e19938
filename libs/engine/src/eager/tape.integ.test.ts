import type * as tfjs from '@tensorflow/tfjs';
import { beforeAll, describe, expect, test } from 'vitest';
import { naiveOps } from '../ops/naive.js';
import { record } from './tape.js';
import { activate, loadTfjs } from './tfjs.js';

const tf = loadTfjs();
beforeAll(() => activate(tf, 'cpu', ''));

function inputs(): [tfjs.Tensor4D, tfjs.Tensor4D, tfjs.Tensor1D] {
  const values = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(1.7 * i));
  return [tf.tensor4d(values(72), [2, 6, 3, 2]), tf.tensor4d(values(36), [3, 3, 2, 2]), tf.tensor1d(values(2))];
}

/** Reads the input twice, so that gradients are added up. */
function network(x: tfjs.Tensor, w: tfjs.Tensor, b: tfjs.Tensor): tfjs.Tensor {
  const y = naiveOps(tf).conv2d(x as tfjs.Tensor4D, w as tfjs.Tensor4D, b as tfjs.Tensor1D, 1, 'same');
  return tf.softmax(tf.mul(tf.tanh(y), tf.add(x, b)));
}

describe('a kept tape', () => {
  test('gives the same bits as tf.grads, with another tape open in between', async () => {
    const xs = inputs();
    const before = tf.memory().numTensors;
    const tape = record(tf, xs, () => network(...xs));
    const other = record(tf, [xs[1]], () => tf.square(xs[1]));
    const dy = tf.onesLike(tape.output);
    const gradients = tape.backward(dy);
    const expected = tf.grads(network)(xs, dy);
    for (const [i, gradient] of gradients.entries()) expect(await gradient!.data()).toEqual(await expected[i].data());
    other.drop();
    tf.dispose([dy, tape.output, other.output, ...(gradients as tfjs.Tensor[]), ...expected]);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('has no gradient for what the output does not depend on', () => {
    const [x, , b] = inputs();
    const tape = record(tf, [x, b], () => tf.neg(x));
    expect(tape.backward(tape.output).map((gradient) => gradient?.shape)).toEqual([x.shape, undefined]);
  });

  test('survives its inputs', async () => {
    const xs = inputs();
    const tape = record(tf, xs, () => network(...xs));
    const expected = tf.grads(network)(xs, tf.onesLike(tape.output));
    tf.dispose(xs);
    const gradients = tape.backward(tf.onesLike(tape.output));
    expect(await gradients[0]!.data()).toEqual(await expected[0].data());
  });

  test('hands an input through as a tensor of its own', () => {
    const [x] = inputs();
    const tape = record(tf, [x], () => x);
    const dy = tf.onesLike(x);
    const [gradient] = tape.backward(dy);
    tf.dispose([tape.output, dy]);
    expect([x.isDisposed, gradient!.isDisposed]).toEqual([false, false]);
  });

  test('is good for one backward pass', () => {
    const [x] = inputs();
    const tape = record(tf, [x], () => tf.square(x));
    tape.backward(x);
    expect(() => tape.backward(x)).toThrow('used up');
  });

  test('frees what was recorded when the forward pass fails', () => {
    const xs = inputs();
    const before = tf.memory().numTensors;
    expect(() =>
      record(tf, xs, () => {
        network(...xs);
        throw new Error('broken block');
      }),
    ).toThrow('broken block');
    expect(tf.memory().numTensors).toBe(before);
    expect(record(tf, xs, () => network(...xs)).output.shape, 'and can be used again').toEqual([2, 6, 3, 2]);
  });

  test('names an operation without a gradient', () => {
    const [x] = inputs();
    const tape = record(tf, [x], () => tf.cumprod(x, 3));
    expect(() => tape.backward(tf.onesLike(tape.output))).toThrow('operation Cumprod has no gradient');
  });
});
