import { expect, test } from 'vitest';
import { opCases, outputAndGradients, worstDifference } from '../conformance/op-cases.js';
import { activate, loadTfjs } from '../eager/tfjs.js';
import { naiveOps } from '../ops/naive.js';
import { portableOps } from '../ops/portable.js';
import { loadWasm } from './engine.js';

const tf = loadTfjs();

test('operations and their gradients are those of the cpu backend', async () => {
  const cases = [...opCases({ B: 3, L: 4, D: 5 }), ...opCases({ B: 1, L: 1, D: 3 }).filter(({ name }) => !name.includes('×'))];
  await activate(tf, 'cpu', '');
  const expected = [];
  for (const opCase of cases) expected.push(await outputAndGradients(tf, naiveOps(tf), opCase));
  const engine = await loadWasm();
  const before = { ...tf.memory(), dataIds: tf.backend().numDataIds() };
  for (const [i, opCase] of cases.entries()) {
    expect(worstDifference(await outputAndGradients(tf, portableOps(tf), opCase), expected[i]), opCase.name).toBeLessThan(1e-5);
  }
  expect([tf.memory().numTensors, tf.backend().numDataIds()], 'nothing stays on the heap').toEqual([before.numTensors, before.dataIds]);
  await engine.dispose();
});

test('sums over any axes', async () => {
  const engine = await loadWasm();
  const shape = [2, 3, 4, 5];
  const values = Float32Array.from({ length: 120 }, (_, i) => Math.sin(i));
  const axes = [[0], [1], [2], [3], [0, 1], [1, 2], [0, 2], [0, 3], [0, 1, 2], [0, 1, 2, 3], [3, 2]];
  const sums = async (keepDims: boolean): Promise<[number[], number[]][]> => {
    const results = axes.map((axis) => tf.tidy(() => tf.sum(tf.tensor(values, shape), axis, keepDims)));
    return Promise.all(results.map(async (result) => [result.shape, [...(await result.data())]] as [number[], number[]]));
  };
  for (const keepDims of [false, true]) {
    await activate(tf, 'wasm', '');
    const actual = await sums(keepDims);
    await activate(tf, 'cpu', '');
    const expected = await sums(keepDims);
    expect(actual.map(([sumShape]) => sumShape)).toEqual(expected.map(([sumShape]) => sumShape));
    actual.forEach(([, sum], i) => sum.forEach((value, j) => expect(value).toBeCloseTo(expected[i][1][j], 5)));
  }
  await engine.dispose();
});

test('a clone shows the data itself, which stays for whichever is disposed last', async () => {
  const engine = await loadWasm();
  const before = tf.backend().numDataIds();
  const original = tf.tensor1d([1, 2, 3]);
  const clone = tf.clone(original);
  expect(tf.backend().numDataIds()).toBe(before + 1);
  original.dispose();
  expect([...(await clone.data())]).toEqual([1, 2, 3]);
  clone.dispose();
  expect(tf.backend().numDataIds()).toBe(before);
  await engine.dispose();
});
