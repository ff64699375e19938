import { createRng, elementCount } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import type { Ops } from '../ops.js';

/** An operation with the shapes of its float32 inputs. */
export interface OpCase {
  readonly name: string;
  readonly shapes: readonly (readonly number[])[];
  readonly run: (tf: typeof tfjs, ops: Ops, inputs: readonly tfjs.Tensor[]) => tfjs.Tensor;
}

type Padding = 'same' | 'valid';

/** Every operation of `Ops` on batch B, length L, width D. */
export function opCases({ B, L, D }: { B: number; L: number; D: number }): readonly OpCase[] {
  const op = (name: string, shapes: readonly (readonly number[])[], run: (ops: Ops, inputs: never[], tf: typeof tfjs) => tfjs.Tensor): OpCase => ({
    name,
    shapes,
    run: (tf, ops, inputs) => run(ops, inputs as never[], tf),
  });
  const ids = (tf: typeof tfjs, count: number, bound: number): tfjs.Tensor1D => tf.tensor1d(Int32Array.from({ length: count }, (_, i) => (i * 7) % bound), 'int32');
  return [
    op('relu', [[B, D]], (ops, [x]) => ops.relu(x)),
    op('gelu', [[B, D]], (ops, [x]) => ops.gelu(x)),
    op('swiglu', [[B, D], [B, D]], (ops, [gate, up]) => ops.swiglu(gate, up)),
    op('linear', [[B, L], [L, D], [D]], (ops, [x, w, b]) => ops.linear(x, w, b)),
    op('linear, weights transposed', [[B, L], [D, L]], (ops, [x, w]) => ops.linear(x, w, undefined, true)),
    op('maxPool2d', [[B, L + 1, D, 3]], (ops, [x]) => ops.maxPool2d(x, 2, 2, 'valid')),
    op('layerNorm', [[B, D], [D], [D]], (ops, [x, gain, bias]) => ops.layerNorm(x, gain, bias)),
    op('rmsNorm', [[B, D], [D]], (ops, [x, gain]) => ops.rmsNorm(x, gain)),
    op('groupNorm', [[B, L, 3, 2 * D], [2 * D], [2 * D]], (ops, [x, gain, bias]) => ops.groupNorm(x, gain, bias, D)),
    op('embedding', [[D, 4]], (ops, [table], tf) => ops.embedding(table, ids(tf, B * L, D))),
    op('rotary', [[B, 2, L, 2 * D]], (ops, [x]) => ops.rotary(x)),
    op('causalAttention', [[B, 2, L, D], [B, 2, L, D], [B, 2, L, D]], (ops, [q, k, v]) => ops.causalAttention(q, k, v)),
    op('selfAttention', [[B, L, 6 * D]], (ops, [qkv]) => ops.selfAttention(qkv, 2)),
    op('crossEntropy', [[B, D]], (ops, [logits], tf) => ops.crossEntropy(logits, ids(tf, B, D))),
    ...convolutionCases(B, L + 2, D),
  ];
}

function convolutionCases(B: number, size: number, D: number): OpCase[] {
  const cases: OpCase[] = [];
  for (const padding of ['same', 'valid'] as Padding[]) {
    for (const stride of [1, 2]) {
      for (const kernel of [1, 2, 3]) {
        const name = `${kernel}×${kernel}, stride ${stride}, ${padding}`;
        cases.push({
          name: `conv2d ${name}`,
          shapes: [[B, size, size + 1, 2], [kernel, kernel, 2, D], [D]],
          run: (_tf, ops, [x, w, b]) => ops.conv2d(x as tfjs.Tensor4D, w as tfjs.Tensor4D, b as tfjs.Tensor1D, stride, padding),
        });
        cases.push({
          name: `depthwise ${name}`,
          shapes: [[B, size, size + 1, 3], [kernel, kernel, 3, 2]],
          run: (tf, _ops, [x, w]) => tf.depthwiseConv2d(x as tfjs.Tensor4D, w as tfjs.Tensor4D, stride, padding),
        });
        // Padded, its gradient on the cpu backend is wrong: it counts the padding.
        if (padding === 'valid') {
          cases.push({
            name: `average pool ${name}`,
            shapes: [[B, size, size + 1, 3]],
            run: (tf, _ops, [x]) => tf.avgPool(x as tfjs.Tensor4D, kernel, stride, padding),
          });
        }
        cases.push({
          name: `max pool ${name}`,
          shapes: [[B, size, size + 1, 3]],
          run: (tf, _ops, [x]) => tf.maxPool(x as tfjs.Tensor4D, kernel, stride, padding),
        });
      }
    }
  }
  return cases;
}

/** Output, then the gradient of each input for a random gradient of the output. */
export async function outputAndGradients(tf: typeof tfjs, ops: Ops, { name, shapes, run }: OpCase): Promise<Float32Array[]> {
  const rng = createRng(name);
  const random = (shape: readonly number[]): tfjs.Tensor => tf.tensor(Float32Array.from({ length: elementCount(shape) }, () => rng.normal()), [...shape]);
  const results = tf.tidy(() => {
    const inputs = shapes.map(random);
    const output = run(tf, ops, inputs);
    const gradients = tf.grads((...xs) => run(tf, ops, xs))(inputs, random(output.shape));
    return [output, ...gradients];
  });
  const values = await Promise.all(results.map((tensor) => tensor.data<'float32'>()));
  tf.dispose(results);
  return values as Float32Array[];
}

/** ‖a − b‖ / ‖b‖, of the worst of the tensors. */
export function worstDifference(actual: readonly Float32Array[], expected: readonly Float32Array[]): number {
  return Math.max(
    ...expected.map((b, i) => {
      let [difference, norm] = [0, 0];
      b.forEach((value, j) => {
        difference += (actual[i][j] - value) ** 2;
        norm += value ** 2;
      });
      return Math.sqrt(difference) / Math.max(Math.sqrt(norm), 1e-6);
    }),
  );
}
