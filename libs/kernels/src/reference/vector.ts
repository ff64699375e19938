import { assertLength, BLOCK_LENGTH, type VectorKernels } from '../kernels.js';
import { laneSum } from './lanes.js';

const { fround } = Math;

export const referenceVectorKernels: VectorKernels = {
  accumulate(accumulator, x, weight) {
    assertLength(x.length, accumulator.length, 'x');
    const w = fround(weight);
    for (let i = 0; i < x.length; i++) accumulator[i] = accumulator[i]! + fround(w * x[i]!);
  },

  sumInto(out, inputs) {
    for (const input of inputs) assertLength(input.length, out.length, 'input');
    for (let i = 0; i < out.length; i++) {
      let sum = inputs.length === 0 ? 0 : inputs[0]![i]!;
      for (let k = 1; k < inputs.length; k++) sum = fround(sum + inputs[k]![i]!);
      out[i] = sum;
    }
  },

  scale(x, factor) {
    const f = fround(factor);
    for (let i = 0; i < x.length; i++) x[i] = f * x[i]!;
  },

  subtract(out, a, b) {
    assertLength(a.length, out.length, 'a');
    assertLength(b.length, out.length, 'b');
    for (let i = 0; i < out.length; i++) out[i] = a[i]! - b[i]!;
  },

  dot,

  inspect(x) {
    return { finite: x.every(Number.isFinite), sumOfSquares: dot(x, x) };
  },
};

function dot(a: Float32Array, b: Float32Array): number {
  assertLength(b.length, a.length, 'b');
  let sum = 0;
  for (let start = 0; start < a.length; start += BLOCK_LENGTH) {
    sum += laneSum(Math.min(BLOCK_LENGTH, a.length - start), (i) => a[start + i]! * b[start + i]!);
  }
  return sum;
}
