import type * as tfjs from '@tensorflow/tfjs';
import { describe, expect, test } from 'vitest';
import { expectUnavailable } from '../conformance/unavailable.js';
import { findBinding } from './binding.js';
import { loadContext } from './engine.js';
import { DataType } from './graph-def.js';
import { Graph } from './graph.js';
import { NativeTensor, take } from './native-tensor.js';
import { record } from './recorder.js';
import { Session } from './session.js';

if (findBinding() === undefined) expectUnavailable('tensorflow');
else describe('a recording', describeRecording);

async function describeRecording(): Promise<void> {
  const context = await loadContext({});
  const { tf, backend, binding } = context;

  /** Records `body` on zeros and runs the graph on `values`. */
  function trace(values: number[], body: (x: tfjs.Tensor1D) => tfjs.Tensor): number[] {
    const graph = new Graph();
    const fed = graph.placeholder('x', DataType.float, [values.length]);
    let fetch = fed;
    tf.tidy(() => {
      const x = tf.fill([values.length], 0) as tfjs.Tensor1D;
      record(backend, graph, [[x, fed]], (recording) => {
        fetch = recording.outputOf(body(x));
      });
    });
    const session = Session.load(binding, graph, [fetch]);
    const x = NativeTensor.from(binding, DataType.float, [values.length], Float32Array.from(values));
    const result = take(session.run({ x }, [fetch])[0]);
    x.dispose();
    session.dispose();
    return Array.from(result);
  }

  test('replays ops with attributes, lists and several outputs', () => {
    const body = (x: tfjs.Tensor1D): tfjs.Tensor => {
      const [low, high] = tf.split(tf.reshape(x, [2, 2]), 2, 1);
      return tf.concat([tf.addN([low, high, high]), tf.stack([tf.unstack(high)[1], tf.sum(low, 0)])], 0);
    };
    expect(trace([1, 2, 3, 4], body)).toEqual(Array.from(body(tf.tensor1d([1, 2, 3, 4])).dataSync()));
  });

  test('takes the gradients of TF.js too', () => {
    const slope = (x: tfjs.Tensor1D): tfjs.Tensor => tf.grad((z) => tf.sum(tf.mul(tf.square(z), tf.sigmoid(z))))(x);
    const expected = Array.from(slope(tf.tensor1d([-1, 0.5, 2])).dataSync());
    trace([-1, 0.5, 2], slope).forEach((value, i) => expect(value).toBeCloseTo(expected[i], 5));
  });

  test('freezes what JavaScript made, inside and before', () => {
    const before = tf.square(tf.tensor1d([1, 2]));
    expect(trace([10, 20], (x) => tf.add(tf.mul(x, tf.tensor1d([2, 3])), before))).toEqual([21, 64]);
    before.dispose();
  });

  test('refuses a body that looks at values, and gives the binding back', () => {
    expect(() => trace([1], (x) => (tf.square(x).dataSync()[0] > 0 ? x : tf.neg(x)))).toThrow(/reads the values/);
    expect(backend.binding).toBe(binding);
    expect(tf.square(3).dataSync()[0]).toBe(9);
  });

  test('refuses strings', () => {
    expect(() => trace([1], (x) => tf.add(x, tf.cast(tf.equal(tf.tensor1d(['a']), tf.tensor1d(['b'])), 'float32')))).toThrow(
      /tensor of strings/,
    );
  });

  test('looks up rows without reading the indices', () => {
    expect(trace([2, 0], (x) => tf.gather(tf.tensor1d([5, 6, 7]), tf.cast(x, 'int32')))).toEqual([7, 5]);
  });

  test('leaves neither tensors nor graphs nor folders', () => {
    const before = [tf.memory().numTensors, binding.getNumOfTensors(), binding.getNumOfSavedModels()];
    trace([1, 2], (x) => tf.mul(x, 2));
    expect([tf.memory().numTensors, binding.getNumOfTensors(), binding.getNumOfSavedModels()]).toEqual(before);
  });
}
