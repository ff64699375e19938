import { BLOCK_LENGTH, type Kernels, type KernelsImplementation } from './kernels.js';
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

/** Zeros for others to fill. A long vector lies in a memory of kernels, where all of the thread that only look at it do so without copying it. */
export function createVector(length: number): Float32Array {
  return length < BLOCK_LENGTH ? new Float32Array(length) : createKernels({ vectors: [length] }).allocate(length);
}
