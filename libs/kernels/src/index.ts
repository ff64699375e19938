export { Anchor } from './anchor.js';
export { CODEC_IDS, createCodec } from './codec.js';
export { createKernels, createVector, type KernelsOptions } from './create-kernels.js';
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
export { createErrorFeedback, type ErrorFeedbackOptions } from './error-feedback.js';
export { learningRateAt } from './learning-rate.js';
export { measureCoding, USUAL_CODING } from './measure-coding.js';
export { createOptimizer, type CountedOptimizer, type OptimizerOptions } from './optimizer.js';
export { createShard, type ShardOptions } from './shard.js';
export type { SliceableCodec } from './sliceable-codec.js';
