import type * as tfjs from '@tensorflow/tfjs';
import type { NodeJSKernelBackend } from '@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js';
import type { TFEOpAttr } from '@tensorflow/tfjs-node-gpu/dist/tfjs_binding.js';

/** Replaces kernels of tfjs-node that a graph cannot hold, or that are wrong. For all its users: eager ones too. */
export function replaceKernels(tf: typeof tfjs, fused: boolean): void {
  replace(tf, tf.GatherV2, () => gather(tf));
  if (fused) replace(tf, tf.ArgMax, argMax);
  replace(tf, tf.Conv2DBackpropFilter, (original) => convolutionFilterGradient(tf, original));
}

const replaced = new Set<string>();

function replace(tf: typeof tfjs, name: string, wrap: (original: tfjs.KernelFunc) => tfjs.KernelFunc): void {
  if (replaced.has(name)) return;
  replaced.add(name);
  const { kernelFunc } = tf.getKernel(name, 'tensorflow');
  tf.unregisterKernel(name, 'tensorflow');
  tf.registerKernel({ kernelName: name, backendName: 'tensorflow', kernelFunc: wrap(kernelFunc) });
}

/**
 * Without the check of tfjs-node's own, which reads all indices back: that would end a recording, and stall a GPU.
 * TensorFlow checks them itself.
 */
function gather(tf: typeof tfjs): tfjs.KernelFunc {
  return ({ inputs, attrs, backend }) => {
    const node = backend as NodeJSKernelBackend;
    const { axis, batchDims } = attrs as unknown as tfjs.GatherV2Attrs;
    const [x, indices] = [inputs.x, inputs.indices] as tfjs.Tensor[];
    const type = (name: string, dtype: tfjs.DataType): TFEOpAttr => ({
      name,
      type: node.binding.TF_ATTR_TYPE,
      value: node.getDTypeInteger(dtype),
    });
    const batch = { name: 'batch_dims', type: node.binding.TF_ATTR_INT, value: batchDims };
    const attributes = [batch, type('Tparams', x.dtype), type('Tindices', indices.dtype), type('Taxis', 'int32')];
    return tf.tidy(() => node.executeSingleOutput(tf.GatherV2, attributes, [x, indices, tf.scalar(axis, 'int32')]));
  };
}

/** By the fused op where it fits: TensorFlow's takes a value and its index at a time. */
function argMax(original: tfjs.KernelFunc): tfjs.KernelFunc {
  return (call) => {
    const x = call.inputs.x as tfjs.Tensor;
    const { axis } = call.attrs as unknown as tfjs.ArgMaxAttrs;
    if (x.rank !== 2 || axis !== 1 || x.dtype !== 'float32' || x.size === 0) return original(call);
    return (call.backend as NodeJSKernelBackend).executeSingleOutput('LongtailArgMax', [], [x]);
  };
}

/**
 * oneDNN's kernel for this gradient of a strided 1×1 convolution (jit_1x1:avx2, version 3.7.3) reads past its input when
 * the channels do not fill a register: wrong values, or a crash. Without the stride, on the pixels that count, it is right.
 */
function convolutionFilterGradient(tf: typeof tfjs, original: tfjs.KernelFunc): tfjs.KernelFunc {
  return (call) => {
    const { strides, filterShape } = call.attrs as unknown as tfjs.Conv2DBackpropFilterAttrs;
    const [down, right] = typeof strides === 'number' ? [strides, strides] : strides;
    if (filterShape[0] * filterShape[1] !== 1 || down * right === 1) return original(call);
    const x = call.inputs.x as tfjs.Tensor4D;
    const used = tf.stridedSlice(x, [0, 0, 0, 0], x.shape, [1, down, right, 1]);
    const result = original({ ...call, inputs: { ...call.inputs, x: used }, attrs: { ...call.attrs, strides: 1, pad: 'valid' } });
    used.dispose();
    return result;
  };
}
