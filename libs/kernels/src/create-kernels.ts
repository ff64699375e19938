import type { Kernels, KernelsImplementation } from './kernels.js';
import { createReferenceKernels } from './reference/reference-kernels.js';
import { createWasmKernels } from './wasm/wasm-kernels.js';

export interface KernelsOptions {
  /** Lengths of the vectors that `allocate` will be asked for; the memory is sized for them once. @default [] */
  readonly vectors?: readonly number[];
  /** @default 'wasm' */
  readonly implementation?: KernelsImplementation;
}

/**
 * Kernels with a memory of their own: the vectors asked for and about 340 KB of working space.
 * @throws LongtailError `internal` when the memory would pass 4 GiB or the machine cannot give it.
 */
export function createKernels(options: KernelsOptions = {}): Kernels {
  const vectors = options.vectors ?? [];
  return options.implementation === 'reference' ? createReferenceKernels() : createWasmKernels(vectors);
}
