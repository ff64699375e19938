import type { Codec, CodecName, FeedbackEncoder, OptimizerSpec, ParameterShard, TopKSpec } from '@longtail/core';
import { CODEC_IDS, createCodec, createErrorFeedback, createKernels, createOptimizer, createShard, createVector, type CountedOptimizer, type KernelsImplementation } from '@longtail/kernels';

/** What the server and the devices compute with. */
export interface Arithmetic {
  readonly codecs: readonly Codec[];
  createFeedback(length: number, topK: TopKSpec): FeedbackEncoder;
  createShard(length: number, optimizer: OptimizerSpec, differences?: TopKSpec): ParameterShard;
  createOptimizer(length: number, optimizer: OptimizerSpec): CountedOptimizer;
  /** Zeros, where a device leaves results for the server to look at. @default a Float32Array */
  createVector?(length: number): Float32Array;
}

/** They keep no state: every simulation uses the same. */
const kernels = createKernels();
const codecs = (Object.keys(CODEC_IDS) as CodecName[]).map((name) => createCodec(name, kernels));

/** The plain-TypeScript twins of libs/kernels. */
export const referenceArithmetic = arithmeticOf('reference');
/** The same bits, by SIMD: for vectors of many thousands of values. */
export const wasmArithmetic = arithmeticOf('wasm');

function arithmeticOf(implementation: KernelsImplementation): Arithmetic {
  return {
    codecs,
    createFeedback: (length, topK) => createErrorFeedback({ length, topK, implementation: 'reference' }),
    createShard: (length, optimizer, differences) => createShard({ length, optimizer, differences, implementation }),
    createOptimizer: (length, optimizer) => createOptimizer({ length, optimizer, implementation }),
    createVector: implementation === 'wasm' ? createVector : undefined,
  };
}
