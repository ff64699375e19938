import type * as tfjs from '@tensorflow/tfjs';

type KernelFuncRunner = {
  runKernelFunc(call: {
    forwardFunc: (backend: unknown, save: (tensors: tfjs.Tensor[]) => void) => tfjs.Tensor;
    backwardsFunc: (dy: tfjs.Tensor, saved: tfjs.Tensor[]) => Record<string, () => tfjs.Tensor>;
    inputs: Record<string, tfjs.Tensor>;
  }): tfjs.Tensor;
};

/**
 * An operation with a gradient of its own. Unlike `tf.customGrad`, whose gradients are all computed whether anybody wants
 * them or not, each input's gradient is a thunk of its own that only runs when the input leads to a parameter: no
 * gradient of the data. Work that several thunks share belongs in the body of `backward`; the caller tidies it.
 */
export function differentiable<Inputs extends Record<string, tfjs.Tensor>, Output extends tfjs.Tensor>(
  tf: typeof tfjs,
  inputs: Inputs,
  forward: (save: (tensors: tfjs.Tensor[]) => void) => Output,
  backward: (dy: Output, saved: tfjs.Tensor[]) => { readonly [Name in keyof Inputs]: () => tfjs.Tensor },
): Output {
  // What tf.customGrad itself is built on; private in the typings only.
  const engine = tf.engine() as unknown as KernelFuncRunner;
  return engine.runKernelFunc({
    inputs,
    forwardFunc: (_backend, save) => forward(save),
    backwardsFunc: (dy, saved) => backward(dy as Output, saved),
  }) as Output;
}
