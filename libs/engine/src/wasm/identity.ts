import type { KernelCall, WasmKernels } from './heap.js';

/** The backend copies: every clone, and every weight that an operation keeps for its gradient. Kernels never write to what they are given. */
export function registerIdentity(kernels: WasmKernels): void {
  kernels.register('Identity', ({ inputs: { x }, backend }: KernelCall<'x', object>) => {
    backend.incRef(x.dataId);
    return { dataId: x.dataId, shape: x.shape, dtype: x.dtype };
  });
}
