import type { HostTensor } from '@longtail/core';

/**
 * A tensor as it crosses threads: its memory moves along where the tensor is all of it, shared memory stays where it is, and
 * only a part of something larger is copied.
 */
export function toCross(tensor: HostTensor): { readonly tensor: HostTensor; readonly moved: readonly ArrayBuffer[] } {
  const { buffer } = tensor.data;
  if (buffer instanceof SharedArrayBuffer) return { tensor, moved: [] };
  const whole = tensor.data.byteLength === buffer.byteLength;
  const data = whole ? tensor.data : tensor.data.slice();
  return { tensor: { dtype: tensor.dtype, shape: tensor.shape, data }, moved: [data.buffer as ArrayBuffer] };
}
