import type { Kernels } from '../kernels.js';
import { referenceChecksumKernels } from './checksum.js';
import { referenceFormatKernels } from './format.js';
import { referenceOptimizerKernels } from './optimizer.js';
import { referenceRowKernels } from './rows.js';
import { referenceSparseKernels } from './sparse.js';
import { referenceStateKernels } from './state.js';
import { referenceVectorKernels } from './vector.js';

/** The oracle: slow and obvious. Each assignment to a Float32Array is a rounding to float32, others are written out. */
export function createReferenceKernels(): Kernels {
  return {
    implementation: 'reference',
    allocate: (length) => new Float32Array(length),
    ...referenceVectorKernels,
    ...referenceOptimizerKernels,
    ...referenceFormatKernels,
    ...referenceRowKernels,
    ...referenceSparseKernels,
    ...referenceStateKernels,
    ...referenceChecksumKernels,
  };
}
