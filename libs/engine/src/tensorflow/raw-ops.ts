import type * as tfjs from '@tensorflow/tfjs';
import type { NodeJSKernelBackend } from '@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js';
import { differentiable } from '../differentiable.js';
import type { Ops } from '../ops.js';
import { portableOps } from '../ops/portable.js';
import type { FusedKernels } from './binding.js';
import { crossEntropyOp } from './cross-entropy.js';
import { fusedOps } from './fused-ops.js';
import { nativeOps } from './native-ops.js';
import type { NativeOps } from './native-ops.js';
import { productPadding } from './products.js';

/** Operations by TensorFlow's own kernels, those that TF.js has no name for included. The rest is the portable ones. */
export function rawOps(tf: typeof tfjs, backend: NodeJSKernelBackend, fused: FusedKernels | undefined): Ops {
  const native = nativeOps(backend, fused);
  // What is padded is so for AVX2.
  const padded = !backend.isUsingGpuDevice && fused?.instructions !== 'avx512';
  return {
    ...portableOps(tf),
    ...activations(tf, native),
    linear: linearOp(tf, native, { unfused: !backend.isUsingGpuDevice && fused === undefined, padded }),
    conv2d: convolutionOp(tf, native),
    crossEntropy: crossEntropyOp(tf, native),
    ...(fused && fusedOps(tf, backend)),
  };
}

const GELU_SCALE = 2 * Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;

function activations(tf: typeof tfjs, { float }: NativeOps): Pick<Ops, 'relu' | 'gelu'> {
  return {
    relu: (x) =>
      differentiable(
        tf,
        { x },
        (save) => {
          const y = float('Relu', [x]);
          save([y]);
          return y;
        },
        (dy, [y]) => ({ x: () => float('ReluGrad', [dy, y]) }),
      ),
    // ½(1 + tanh u) = σ(2u): two passes over memory less, and one kernel for σ'.
    gelu: (x) =>
      differentiable(
        tf,
        { x },
        (save) => {
          const gate = tf.sigmoid(tf.mul(x, tf.add(tf.mul(tf.square(x), GELU_SCALE * GELU_CUBIC), GELU_SCALE)));
          save([x, gate]);
          return tf.mul(x, gate);
        },
        (dy, [x, gate]) => ({
          x: () => {
            const slope = tf.add(tf.mul(tf.square(x), 3 * GELU_SCALE * GELU_CUBIC), GELU_SCALE);
            return tf.add(tf.mul(dy, gate), tf.mul(float('SigmoidGrad', [gate, tf.mul(dy, x)]), slope));
          },
        }),
      ),
  };
}

function linearOp(tf: typeof tfjs, native: NativeOps, { unfused, padded }: { unfused: boolean; padded: boolean }): Ops['linear'] {
  const { addBias, biasGradient } = native;
  const pad = (tensor: tfjs.Tensor2D, columns: number): tfjs.Tensor2D =>
    columns > 0
      ? tf.pad(tensor, [
          [0, 0],
          [0, columns],
        ])
      : tensor;

  /** a · b, or aᵀ · b. */
  const product = (a: tfjs.Tensor2D, b: tfjs.Tensor2D, transposed: boolean, multiply = native.matMul): tfjs.Tensor2D => {
    const [m, k] = transposed ? [a.shape[1], a.shape[0]] : a.shape;
    const n = b.shape[1];
    const padding = padded ? productPadding(m, k, n, transposed) : { m: 0, n: 0 };
    if (padding.m + padding.n === 0) return multiply(a, b, transposed, false);
    return tf.slice(native.matMul(pad(a, padding.m), pad(b, padding.n), transposed, false), [0, 0], [m, n]);
  };

  return (x, w, b, transposeWeights = false) => {
    const multiply = b !== undefined && unfused ? native.unfusedMatMul : native.matMul;
    const forward = (save: (tensors: tfjs.Tensor[]) => void): tfjs.Tensor2D => {
      save([x, w]);
      const y = transposeWeights ? multiply(x, w, false, true) : product(x, w, false, multiply);
      return b ? addBias(y, b) : y;
    };
    const backward = (dy: tfjs.Tensor2D, saved: tfjs.Tensor[]) => {
      const [x, w] = saved as tfjs.Tensor2D[];
      return {
        x: () => (transposeWeights ? product(dy, w, false) : native.matMul(dy, w, false, true)),
        w: () => (transposeWeights ? product(dy, x, true) : product(x, dy, true)),
      };
    };
    return b
      ? differentiable(tf, { x, w, b }, forward, (dy, saved) => ({ ...backward(dy, saved), b: () => biasGradient(dy) }))
      : differentiable(tf, { x, w }, forward, backward);
  };
}

function convolutionOp(tf: typeof tfjs, { float, biasGradient }: NativeOps): Ops['conv2d'] {
  return (x, w, b, stride, padding) => {
    const y = tf.conv2d(x, w, stride, padding);
    if (b === undefined) return y;
    return differentiable(
      tf,
      { y, b },
      () => float<tfjs.Tensor4D>('BiasAdd', [y, b]),
      (dy) => ({ y: () => tf.clone(dy), b: () => biasGradient(dy) }),
    );
  };
}
