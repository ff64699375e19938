import type * as tfjs from '@tensorflow/tfjs';
import type { NodeJSKernelBackend } from '@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js';
import type { Ops } from '../ops.js';
import type { FusedKernels } from './binding.js';
import type { Binding } from './native-tensor.js';

/** TensorFlow as TF.js has it, and the native functions below. */
export interface TensorFlowContext {
  readonly tf: typeof tfjs;
  readonly ops: Ops;
  readonly backend: NodeJSKernelBackend;
  readonly binding: Binding;
  /** Undefined where there are none: a binding that is not ours, or a GPU. */
  readonly fused: FusedKernels | undefined;
}
