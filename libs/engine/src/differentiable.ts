import type * as tf from '@tensorflow/tfjs';

type KernelFuncRunner = {
  runKernelFunc(call: {
    forwardFunc: (backend: unknown, save: (tensors: tf.Tensor[]) => void) => tf.Tensor;
    backwardsFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => Record<string, () => tf.Tensor>;
    inputs: Record<string, tf.Tensor>;
  }): tf.Tensor;
};

/**
 * An operation with a gradient of its own. Unlike `tf.customGrad`, whose gradients are all computed whether anybody wants
 * them or not, each input's gradient is a thunk of its own that only runs when the input leads to a parameter: no
 * gradient of the data. Work that several thunks share belongs in the body of `backward`; the caller tidies it.
 */
export function differentiable<Inputs extends Record<string, tf.Tensor>, Output extends tf.Tensor>(
  tf: typeof import('@tensorflow/tfjs'),
  inputs: Inputs,
  forward: (save: (tensors: tf.Tensor[]) => void) => Output,
  backward: (dy: Output, saved: tf.Tensor[]) => { readonly [Name in keyof Inputs]: () => tf.Tensor },
): Output {
  // What tf.customGrad itself is built on; private in the typings only.
  const engine = tf.engine() as unknown as KernelFuncRunner;
  return engine.runKernelFunc({
    inputs,
    forwardFunc: (_backend, save) => forward(save),
    backwardsFunc: (dy, saved) => backward(dy as Output, saved),
  }) as Output;
}
