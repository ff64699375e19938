import type * as tfjs from '@tensorflow/tfjs';
import type { NodeJSKernelBackend } from '@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js';
import type { TFEOpAttr } from '@tensorflow/tfjs-node-gpu/dist/tfjs_binding.js';
import { differentiable } from '../differentiable.js';
import type { Ops } from '../ops.js';
import { portableOps } from '../ops/portable.js';
import { gradientPadding } from './products.js';

/**
 * Operations by TensorFlow's own kernels, those that TF.js has no name for included. The rest is the portable ones.
 */
export function rawOps(tf: typeof tfjs, backend: NodeJSKernelBackend): Ops {
  const { binding } = backend;
  const type = (name: string, value: number): TFEOpAttr => ({ name, type: binding.TF_ATTR_TYPE, value });
  const flag = (name: string, value: boolean): TFEOpAttr => ({ name, type: binding.TF_ATTR_BOOL, value });
  const text = (name: string, value: string): TFEOpAttr => ({ name, type: binding.TF_ATTR_STRING, value });
  const T = type('T', binding.TF_FLOAT);
  const NHWC = text('data_format', 'NHWC');
  const op = <Result extends tfjs.Tensor>(name: string, inputs: tfjs.Tensor[], ...attributes: TFEOpAttr[]): Result =>
    backend.executeSingleOutput(name, [T, ...attributes], inputs) as Result;

  const matMul = (a: tfjs.Tensor, b: tfjs.Tensor, transposeA: boolean, transposeB: boolean): tfjs.Tensor2D =>
    op('MatMul', [a, b], flag('transpose_a', transposeA), flag('transpose_b', transposeB));
  const biasAdd = <Result extends tfjs.Tensor>(x: Result, b: tfjs.Tensor1D): Result => op('BiasAdd', [x, b], NHWC);
  const biasGradient = (dy: tfjs.Tensor): tfjs.Tensor => op('BiasAddGrad', [dy], NHWC);

  /** xᵀ · dy of x [rows, m] and dy [rows, n]. */
  const weightsGradient = (x: tfjs.Tensor2D, dy: tfjs.Tensor2D): tfjs.Tensor2D => {
    const [rows, m] = x.shape;
    const n = dy.shape[1];
    const padding = backend.isUsingGpuDevice ? { m: 0, n: 0 } : gradientPadding(rows, m, n);
    const pad = (tensor: tfjs.Tensor2D, columns: number): tfjs.Tensor2D => (columns > 0 ? tf.pad(tensor, [[0, 0], [0, columns]]) : tensor);
    const product = matMul(pad(x, padding.m), pad(dy, padding.n), true, false);
    return padding.m + padding.n > 0 ? tf.slice(product, [0, 0], [m, n]) : product;
  };

  const linear: Ops['linear'] = (x, w, b, transposeWeights = false) => {
    const forward = (save: (tensors: tfjs.Tensor[]) => void): tfjs.Tensor2D => {
      save([x, w]);
      const product = matMul(x, w, false, transposeWeights);
      return b ? biasAdd(product, b) : product;
    };
    const backward = (dy: tfjs.Tensor2D, [x, w]: tfjs.Tensor[]) => ({
      x: () => matMul(dy, w, false, !transposeWeights),
      w: () => (transposeWeights ? weightsGradient(dy, x as tfjs.Tensor2D) : weightsGradient(x as tfjs.Tensor2D, dy)),
    });
    return b
      ? differentiable(tf, { x, w, b }, forward, (dy, saved) => ({ ...backward(dy, saved), b: () => biasGradient(dy) }))
      : differentiable(tf, { x, w }, forward, backward);
  };

  return {
    ...portableOps(tf),
    linear,
    relu: (x) =>
      differentiable(
        tf,
        { x },
        (save) => {
          const y = op('Relu', [x]);
          save([y]);
          return y;
        },
        (dy, [y]) => ({ x: () => op('ReluGrad', [dy, y]) }),
      ),
    conv2d: (x, w, b, stride, padding) => {
      const y = tf.conv2d(x, w, stride, padding);
      if (b === undefined) return y;
      return differentiable(
        tf,
        { y, b },
        () => biasAdd(y, b),
        (dy) => ({ y: () => tf.clone(dy), b: () => biasGradient(dy) }),
      );
    },
    crossEntropy: (logits, labels) =>
      differentiable(
        tf,
        { logits },
        (save) => {
          const attributes = [T, type('Tlabels', binding.TF_INT32)];
          const [loss, slope] = backend.executeMultipleOutputs('SparseSoftmaxCrossEntropyWithLogits', attributes, [logits, labels], 2);
          save([slope]);
          return loss as tfjs.Tensor1D;
        },
        (dy, [slope]) => ({ logits: () => tf.mul(slope, tf.reshape(dy, [slope.shape[0]!, 1])) }),
      ),
  };
}
