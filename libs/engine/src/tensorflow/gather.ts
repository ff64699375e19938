import type * as tfjs from '@tensorflow/tfjs';
import type { NodeJSKernelBackend } from '@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js';

/**
 * Replaces tfjs-node's `GatherV2`, which reads all indices back to check them: that would end a recording, and stall a
 * GPU. TensorFlow checks them itself.
 */
export function replaceGather(tf: typeof tfjs): void {
  const key = [tf.GatherV2, 'tensorflow'] as const;
  if (tf.getKernel(...key) !== undefined) tf.unregisterKernel(...key);
  tf.registerKernel({
    kernelName: tf.GatherV2,
    backendName: 'tensorflow',
    kernelFunc: ({ inputs, attrs, backend }) => {
      const [x, indices] = [inputs.x, inputs.indices] as tfjs.Tensor[];
      const { axis, batchDims } = attrs as unknown as tfjs.GatherV2Attrs;
      const { binding, executeSingleOutput } = backend as NodeJSKernelBackend;
      const type = (name: string, dtype: tfjs.DataType) => ({ name, type: binding.TF_ATTR_TYPE, value: (backend as NodeJSKernelBackend).getDTypeInteger(dtype) });
      const attributes = [{ name: 'batch_dims', type: binding.TF_ATTR_INT, value: batchDims }, type('Tparams', x.dtype), type('Tindices', indices.dtype), type('Taxis', 'int32')];
      return tf.tidy(() => executeSingleOutput.call(backend, tf.GatherV2, attributes, [x, indices, tf.scalar(axis, 'int32')]));
    },
  });
}
