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
