import type * as tfjs from '@tensorflow/tfjs';
import { describe, expect, test } from 'vitest';
import { opCases, outputAndGradients, worstDifference } from '../conformance/op-cases.js';
import type { OpCase } from '../conformance/op-cases.js';
import { expectUnavailable } from '../conformance/unavailable.js';
import { naiveOps } from '../ops/naive.js';
import { findBinding } from './binding.js';
import { loadContext } from './engine.js';

const context = findBinding() === undefined ? undefined : await loadContext({});
if (context === undefined) expectUnavailable('tensorflow');
else if (context.fused !== undefined) describe('the fused ops', () => describeFusedOps(context));

/** One row, primes, whole registers, and enough for every thread. */
const SIZES = [
  { B: 1, L: 2, D: 3 },
  { B: 3, L: 37, D: 7 },
  { B: 2, L: 67, D: 17 },
  { B: 5, L: 64, D: 32 },
  { B: 701, L: 3, D: 61 },
];

function describeFusedOps({ tf, ops, backend }: NonNullable<typeof context>): void {
  describe.each(SIZES)('on B $B, L $L, D $D', (size) => {
    const cases = opCases(size).filter(({ name }) => !name.includes('×'));
    test.each(cases.map((opCase) => [opCase.name, opCase] as const))('%s is the naive one', async (_, opCase) => {
      const [actual, expected] = [await outputAndGradients(tf, ops, opCase), await outputAndGradients(tf, naiveOps(tf), opCase)];
      expect(worstDifference(actual, expected)).toBeLessThan(1e-5);
    });
  });

  test.each(['gelu', 'relu'] as const)('%s behind a bias is the naive one', async (activation) => {
    const shapes = [[257, 5], [5, 131], [131]];
    const run: OpCase['run'] = (_, { linear, [activation]: activate }, [x, w, b]) =>
      activate(linear(x as tfjs.Tensor2D, w as tfjs.Tensor2D, b as tfjs.Tensor1D));
    const [actual, expected] = await Promise.all(
      [ops, naiveOps(tf)].map((set) => outputAndGradients(tf, set, { name: activation, shapes, run })),
    );
    expect(worstDifference(actual, expected)).toBeLessThan(1e-5);
  });

  /** Rows, depth, columns: one, none, primes, more than a block each way, and for every thread. */
  const PRODUCTS = [
    [1, 1, 1],
    [2, 0, 3],
    [1, 5, 3],
    [37, 61, 45],
    [13, 257, 33],
    [509, 19, 16],
    [301, 521, 79],
    [128, 784, 512],
  ] as const;
  const TRANSPOSED = [false, true].flatMap((a) => [false, true].map((b) => [a, b] as const));
  test.each(PRODUCTS.flatMap((sizes) => TRANSPOSED.map((transposed) => [...sizes, ...transposed] as const)))(
    'a product of %d × %d × %d, transposed %s and %s, is the naive one',
    async (m, k, n, transposeA, transposeB) => {
      const a = tf.randomUniform(transposeA ? [k, m] : [m, k], -1, 1, 'float32', 1);
      const b = tf.randomUniform(transposeB ? [n, k] : [k, n], -1, 1, 'float32', 2);
      const flags = Object.entries({ transpose_a: transposeA, transpose_b: transposeB });
      const attributes = flags.map(([name, value]) => ({ name, type: backend.binding.TF_ATTR_BOOL, value }));
      const actual = await backend.executeSingleOutput('LongtailProduct', attributes, [a, b]).data();
      const [left, right] = [await a.data(), await b.data()];
      const exact = (i: number, j: number): number => {
        let sum = 0;
        for (let p = 0; p < k; p++) sum += left[transposeA ? p * m + i : i * k + p] * right[transposeB ? j * k + p : p * n + j];
        return sum;
      };
      const differences = Array.from(actual, (value, at) => Math.abs(value - exact(Math.floor(at / n), at % n)));
      expect(differences).toHaveLength(m * n);
      expect(differences.every((difference) => difference < 2e-5)).toBe(true);
    },
  );

  test('factors that do not fit are refused', () => {
    const attributes = ['transpose_a', 'transpose_b'].map((name) => ({ name, type: backend.binding.TF_ATTR_BOOL, value: false }));
    expect(() => backend.executeSingleOutput('LongtailProduct', attributes, [tf.zeros([2, 3]), tf.zeros([2, 3])])).toThrow(
      'the factors of a product do not fit each other',
    );
  });

  test('a single query takes its value, whatever the scores', async () => {
    const [q, k, v] = [3, -2, 7].map((value) => tf.fill([1, 1, 1, 3], value) as tfjs.Tensor4D);
    const [dq, dk, dv] = tf.grads((...qkv) => ops.causalAttention(...(qkv as [typeof q, typeof q, typeof q])))([q, k, v]);
    const expected = [
      [ops.causalAttention(q, k, v), 7],
      [dq, 0],
      [dk, 0],
      [dv, 1],
    ] as const;
    for (const [tensor, each] of expected) for (const value of await tensor.data()) expect(value).toBeCloseTo(each, 5);
  });

  test('far from zero the activations neither overflow nor vanish', async () => {
    const x = tf.tensor1d([-1e4, -90, -20, 0, 20, 90, 1e4]);
    expect([...(await ops.gelu(x).data())]).toEqual([0, 0, 0, 0, 20, 90, 1e4].map((value) => expect.closeTo(value, 5)));
  });

  test('NaN stays NaN', async () => {
    const x = tf.tensor2d([[Number.NaN, 1, 2]]);
    for (const y of [ops.gelu(x), ops.layerNorm(x, tf.ones([3]), tf.zeros([3])), ops.crossEntropy(x, tf.tensor1d([1], 'int32'))]) {
      expect((await y.data())[0]).toBeNaN();
    }
  });

  test('of equal values the first is the largest', async () => {
    const rows = [
      ...Array<number>(40)
        .fill(0)
        .map((_, i) => (i === 17 || i === 38 ? 5 : 0)),
      ...Array<number>(40).fill(2),
    ];
    expect([...(await tf.argMax(tf.tensor2d(rows, [2, 40]), 1).data())]).toEqual([17, 0]);
  });

  test('a label that is no class is refused', () => {
    const [logits, labels] = [tf.zeros([2, 3]), tf.tensor1d([0, 3], 'int32')];
    expect(() => backend.executeMultipleOutputs('LongtailCrossEntropy', [], [logits, labels], 3)).toThrow(
      'a label is not among the classes',
    );
  });
}
