export { CODEC_IDS, createCodec, type SliceableCodec } from './codec.js';
export { createKernels, type KernelsOptions } from './create-kernels.js';
export type {
  AdamCoefficients,
  ChecksumKernels,
  FloatFormat,
  FormatKernels,
  Kernels,
  KernelsImplementation,
  MomentumCoefficients,
  OptimizerKernels,
  SgdCoefficients,
  VectorKernels,
} from './kernels.js';
export { learningRateAt } from './learning-rate.js';
export { createOptimizer, type CountedOptimizer, type OptimizerOptions } from './optimizer.js';
export { createShard, type ShardOptions } from './shard.js';
