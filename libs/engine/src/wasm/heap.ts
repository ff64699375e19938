import type * as tfjs from '@tensorflow/tfjs';

export type TensorInfo = tfjs.TensorInfo;

/** What of the wasm backend (tfjs-backend-wasm/src/backend_wasm.ts) kernels need; half of it is private in the typings. */
export interface WasmBackend {
  readonly wasm: { readonly tfjs: { registerTensor(id: number, size: number, offset: number): void; disposeData(id: number): void } };
  dataIdNextNumber: number;
  readonly dataIdMap: {
    get(dataId: object): { readonly id: number; readonly memoryOffset: number };
    set(dataId: object, data: { id: number; memoryOffset: number; shape: number[]; dtype: string; refCount: number }): void;
    delete(dataId: object): void;
  };
  makeOutput(shape: number[], dtype: 'float32' | 'int32'): TensorInfo;
  disposeData(dataId: object): boolean;
  /** One more tensor shows the data: `disposeData` frees it for the last. */
  incRef(dataId: object): void;
  /** A view that the next allocation may detach. */
  typedArrayFromHeap(tensor: TensorInfo): Float32Array | Int32Array;
}

export interface KernelCall<Inputs extends string, Attributes> {
  readonly inputs: Readonly<Record<Inputs, TensorInfo>>;
  readonly attrs: Attributes;
  readonly backend: WasmBackend;
}

/** Kernels of the wasm backend: those it came with by name, and ways to replace them. */
export class WasmKernels {
  constructor(readonly tf: typeof tfjs) {}

  /** A kernel as a function; later replacements do not change it. */
  kernel<Inputs extends string, Attributes extends object>(name: string): (call: KernelCall<Inputs, Attributes>) => TensorInfo {
    const config = this.tf.getKernel(name, 'wasm');
    if (config === undefined) throw new Error(`tfjs-backend-wasm has no kernel ${name}`);
    return (call) => config.kernelFunc(call as unknown as Parameters<typeof config.kernelFunc>[0]) as TensorInfo;
  }

  /** Registers a kernel, in place of the backend's own where it has one. */
  register<Inputs extends string, Attributes>(kernelName: string, kernel: (call: KernelCall<Inputs, Attributes>) => TensorInfo): void {
    if (this.tf.getKernel(kernelName, 'wasm') !== undefined) this.tf.unregisterKernel(kernelName, 'wasm');
    this.tf.registerKernel({ kernelName, backendName: 'wasm', kernelFunc: kernel as unknown as tfjs.KernelFunc });
  }
}

export function floats(backend: WasmBackend, tensor: TensorInfo): Float32Array {
  return backend.typedArrayFromHeap(tensor) as Float32Array;
}

export function free(backend: WasmBackend, tensors: Iterable<TensorInfo>): void {
  for (const tensor of tensors) backend.disposeData(tensor.dataId);
}

/** Runs `work` on a part of a float32 tensor, as a tensor of its own that shares the memory. `offset` is in values. */
export function withView<T>(backend: WasmBackend, tensor: TensorInfo, offset: number, shape: number[], work: (view: TensorInfo) => T): T {
  const id = backend.dataIdNextNumber++;
  const dataId = { id };
  const memoryOffset = backend.dataIdMap.get(tensor.dataId).memoryOffset + 4 * offset;
  // Two references: work that disposes of a reshaped alias must not free memory in the middle of an allocation.
  backend.dataIdMap.set(dataId, { id, memoryOffset, shape, dtype: 'float32', refCount: 2 });
  backend.wasm.tfjs.registerTensor(id, shape.reduce((product, extent) => product * extent, 1), memoryOffset);
  try {
    return work({ dataId, shape, dtype: 'float32' });
  } finally {
    backend.wasm.tfjs.disposeData(id);
    backend.dataIdMap.delete(dataId);
  }
}
