import type { Kernels } from '../kernels.js';
import { wasmChecksumKernels } from './checksum.js';
import { wasmFormatKernels } from './format.js';
import { wasmOptimizerKernels } from './optimizer.js';
import { wasmRowKernels } from './rows.js';
import { wasmSparseKernels } from './sparse.js';
import { wasmStateKernels } from './state.js';
import { wasmVectorKernels } from './vector.js';
import { Workspace } from './workspace.js';

/** Kernels in WASM SIMD, compiled from assembly/*.ts; `vectors` are the lengths that `allocate` will be asked for. */
export function createWasmKernels(vectors: readonly number[]): Kernels {
  const workspace = new Workspace(vectors);
  return {
    implementation: 'wasm',
    allocate: (length) => workspace.allocate(length),
    ...wasmVectorKernels(workspace),
    ...wasmOptimizerKernels(workspace),
    ...wasmFormatKernels(workspace),
    ...wasmRowKernels(workspace),
    ...wasmSparseKernels(workspace),
    ...wasmStateKernels(workspace),
    ...wasmChecksumKernels(workspace),
  };
}
