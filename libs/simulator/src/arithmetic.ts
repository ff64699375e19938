import type { Codec, CodecName, FeedbackEncoder, OptimizerSpec, ParameterShard, TopKSpec } from '@longtail/core';
import { CODEC_IDS, createCodec, createErrorFeedback, createKernels, createOptimizer, createShard, type KernelsImplementation } from '@longtail/kernels';
import type { VirtualOptimizer } from './virtual-compute.js';

/** What the server and the devices compute with. */
export interface Arithmetic {
  readonly codecs: readonly Codec[];
  createFeedback(length: number, topK: TopKSpec): FeedbackEncoder;
  createShard(length: number, optimizer: OptimizerSpec, differences?: TopKSpec): ParameterShard;
  createOptimizer(length: number, optimizer: OptimizerSpec): VirtualOptimizer;
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
    createOptimizer(length, optimizer) {
      const inner = createOptimizer({ length, optimizer, implementation });
      const mean = new Float32Array(length);
      return {
        stepSum(parameters, gradientSum, samples, hyper) {
          for (let i = 0; i < length; i++) mean[i] = gradientSum[i]! * Math.fround(1 / samples);
          inner.step(parameters, mean, hyper);
        },
        state: () => inner.state(),
        get steps() {
          return inner.steps;
        },
        setSteps: (steps) => inner.setSteps(steps),
      };
    },
  };
}
