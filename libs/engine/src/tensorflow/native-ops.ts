import type * as tfjs from '@tensorflow/tfjs';
import type { NodeJSKernelBackend } from '@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js';
import type { TFEOpAttr } from '@tensorflow/tfjs-node-gpu/dist/tfjs_binding.js';
import type { FusedKernels } from './binding.js';
import { multipliesItself } from './products.js';

/** TensorFlow's ops on TF.js's tensors, by their own names. */
export interface NativeOps {
  /** A float32 op of one output whose attributes have defaults but for the type `T`. */
  float<Result extends tfjs.Tensor = tfjs.Tensor>(op: string, inputs: tfjs.Tensor[]): Result;
  matMul(a: tfjs.Tensor2D, b: tfjs.Tensor2D, transposeA: boolean, transposeB: boolean): tfjs.Tensor2D;
  /**
   * The same by an op that TensorFlow does not fuse with a bias behind it: the fused one calls oneDNN's inner product,
   * which takes a sixth to a fourth longer than product and bias apart (128 × 784 × 512 on AVX2).
   */
  unfusedMatMul(a: tfjs.Tensor2D, b: tfjs.Tensor2D, transposeA: boolean, transposeB: boolean): tfjs.Tensor2D;
  /** Along the last axis. */
  addBias<Result extends tfjs.Tensor>(x: Result, bias: tfjs.Tensor1D): Result;
  /** Sum over all but the last axis. */
  biasGradient(dy: tfjs.Tensor): tfjs.Tensor1D;
  /** Loss of each row [N] and its slope [N, C]. */
  sparseSoftmaxCrossEntropy(logits: tfjs.Tensor2D, labels: tfjs.Tensor1D): [tfjs.Tensor1D, tfjs.Tensor2D];
  /** `vector` with `updates` [n] subtracted at `indices` [n, 1]; in place when nobody else holds it. */
  subtractAt(vector: tfjs.Tensor1D, indices: tfjs.Tensor2D, updates: tfjs.Tensor1D): tfjs.Tensor1D;
}

export function nativeOps(backend: NodeJSKernelBackend, fusedKernels: FusedKernels | undefined): NativeOps {
  const [fused, ownProducts] = [fusedKernels !== undefined, multipliesItself(fusedKernels)];
  const { TF_ATTR_TYPE, TF_ATTR_BOOL, TF_FLOAT, TF_INT32 } = backend.binding;
  const type = (name: string, value: number): TFEOpAttr => ({ name, type: TF_ATTR_TYPE, value });
  const flag = (name: string, value: boolean): TFEOpAttr => ({ name, type: TF_ATTR_BOOL, value });
  const T = type('T', TF_FLOAT);
  const run = <Result extends tfjs.Tensor>(op: string, attributes: TFEOpAttr[], inputs: tfjs.Tensor[]): Result =>
    backend.executeSingleOutput(op, attributes, inputs) as Result;
  return {
    float: (op, inputs) => run(op, [T], inputs),
    matMul: (a, b, transposeA, transposeB) => {
      const flags = [flag('transpose_a', transposeA), flag('transpose_b', transposeB)];
      return ownProducts ? run('LongtailProduct', flags, [a, b]) : run('MatMul', [T, ...flags], [a, b]);
    },
    unfusedMatMul: (a, b, transposeA, transposeB) =>
      run(
        'BatchMatMulV3',
        [type('Ta', TF_FLOAT), type('Tb', TF_FLOAT), type('Tout', TF_FLOAT), flag('adj_x', transposeA), flag('adj_y', transposeB)],
        [a, b],
      ),
    addBias: (x, bias) => (fused ? run('LongtailBias', [], [x, bias]) : run('BiasAdd', [T], [x, bias])),
    biasGradient: (dy) => (fused ? run('LongtailBiasGrad', [], [dy]) : run('BiasAddGrad', [T], [dy])),
    sparseSoftmaxCrossEntropy: (logits, labels) =>
      backend.executeMultipleOutputs('SparseSoftmaxCrossEntropyWithLogits', [T, type('Tlabels', TF_INT32)], [logits, labels], 2) as [
        tfjs.Tensor1D,
        tfjs.Tensor2D,
      ],
    subtractAt: (vector, indices, updates) => run('TensorScatterSub', [T, type('Tindices', TF_INT32)], [vector, indices, updates]),
  };
}
