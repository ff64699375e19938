import { layOut, type BlockRange, type CodedChunk, type HostTensor, type ParameterShard } from '@longtail/core';
import { createCodec, createKernels } from '@longtail/kernels';
import { modelOfBlocks } from '../blocks.js';
import type { VirtualModel } from '../model.js';
import { referenceArithmetic, type Arithmetic } from '../arithmetic.js';

const kernels = createKernels({ implementation: 'reference' });
const codec = createCodec('fp32', kernels);

/**
 * One parameter a sample and copy, copy by copy; a sample's gradient is 1 in its parameters and 0 elsewhere. With
 * `countingArithmetic` the trained parameters say how often each sample was applied, there.
 */
export function countingModel(trainSamples: number, validationSamples: number, copies = 1): VirtualModel {
  const length = copies * trainSamples;
  return {
    layout: layOut([{ name: 'counts', shape: [length] }]),
    trainSamples,
    validationSamples,
    initial: () => new Float32Array(length),
    gradient(_parameters, samples, out) {
      out.fill(0);
      for (const sample of samples) for (let at = sample; at < length; at += trainSamples) out[at]! += 1;
      return { samples: samples.length, targets: samples.length, lossSum: samples.length, correct: 0 };
    },
    evaluate: (_parameters, _split, start, end) => ({ samples: end - start, targets: end - start, lossSum: end - start, correct: 0 }),
  };
}

/** Each step of a batch by SGD moves every parameter down by the learning rate. */
export function slope(length: number): VirtualModel {
  return {
    ...countingModel(600, 50),
    layout: layOut([{ name: 'slope', shape: [length] }]),
    initial: () => new Float32Array(length),
    gradient(_parameters, samples, out) {
      out.fill(samples.length);
      return { samples: samples.length, targets: samples.length, lossSum: samples.length, correct: 0 };
    },
  };
}

/**
 * The same with a count of each sample in each block. The first one's counts are tied to the last block, and each of the
 * two adds a half: whoever forgets one of them is found out.
 */
export function countingPipeline(trainSamples: number, validationSamples: number, blocks: number): VirtualModel {
  const names = ({ start, end }: BlockRange) => {
    const own = Array.from({ length: end - start }, (_, i) => `counts${start + i}`);
    return end === blocks && start > 0 ? [...own, 'counts0'] : own;
  };
  const layout = (range: BlockRange) => layOut(names(range).map((name) => ({ name, shape: [trainSamples] })));
  const nothing = (samples: number): HostTensor => ({ dtype: 'float32', shape: [samples, 1], data: new Float32Array(samples) });
  return modelOfBlocks(
    {
      count: blocks,
      layout,
      initial: (range) => new Float32Array(layout(range).length),
      forward(range, _parameters, samples) {
        const last = range.end === blocks;
        const count = samples.length;
        return {
          output: last ? undefined : nothing(count),
          stats: last ? { samples: count, targets: count, lossSum: count, correct: 0 } : undefined,
          backward(_gradient, out) {
            for (const [i, name] of names(range).entries()) {
              const tied = name === 'counts0';
              const both = tied && range.start === 0 && last;
              const step = tied && !both ? 0.5 : 1;
              if (out !== undefined) for (const sample of samples) out[i * trainSamples + sample]! += step;
            }
            return range.start === 0 ? undefined : nothing(count);
          },
        };
      },
    },
    trainSamples,
    validationSamples,
  );
}

/** An "optimizer" that adds gradient sums to the parameters, and to one state vector, as they are. */
export const countingArithmetic: Arithmetic = {
  codecs: referenceArithmetic.codecs,
  createFeedback: (length, topK) => referenceArithmetic.createFeedback(length, topK),
  createShard: (length) => new CountingShard(length),
  createOptimizer(length) {
    const moments = new Float32Array(length);
    let steps = 0;
    return {
      step(parameters, gradientSum) {
        steps++;
        for (let i = 0; i < length; i++) {
          parameters[i] = parameters[i]! + gradientSum[i]!;
          moments[i] = moments[i]! + gradientSum[i]!;
        }
      },
      state: () => [moments],
      get steps() {
        return steps;
      },
      setSteps(count) {
        steps = count;
      },
    };
  },
};

class CountingShard implements ParameterShard {
  steps = 0;
  private readonly parameters: Float32Array;
  private readonly moments: Float32Array;

  constructor(readonly length: number) {
    this.parameters = new Float32Array(length);
    this.moments = new Float32Array(length);
  }

  inspect(chunk: CodedChunk, length: number) {
    const values = decode(chunk, length);
    return { finite: values.every(Number.isFinite), sumOfSquares: values.reduce((sum, value) => sum + value * value, 0) };
  }
  inspectSum() {
    return { finite: true, sumOfSquares: 0 };
  }
  encodeSum(_offset: number, length: number, contributions: readonly CodedChunk[], out: Uint8Array) {
    const sum = new Float32Array(length);
    for (const chunk of contributions) for (const [i, value] of decode(chunk, length).entries()) sum[i] = sum[i]! + value;
    return codec.encode(sum, out);
  }
  beginStep() {
    this.steps++;
  }
  stepChunk(offset: number, length: number, contributions: readonly CodedChunk[]) {
    for (const chunk of contributions) {
      for (const [i, value] of decode(chunk, length).entries()) {
        this.parameters[offset + i] = this.parameters[offset + i]! + value;
        this.moments[offset + i] = this.moments[offset + i]! + value;
      }
    }
    return 0;
  }
  encodeParameters(offset: number, length: number, _codecId: number, out: Uint8Array) {
    return codec.encode(this.parameters.subarray(offset, offset + length), out);
  }
  resetView(): never {
    throw new Error('nobody follows a counting shard');
  }
  encodeDifference(): never {
    throw new Error('nobody follows a counting shard');
  }
  encodeView(): never {
    throw new Error('nobody follows a counting shard');
  }
  checksum(offset: number, length: number, previous?: number) {
    return kernels.crc32c(new Uint8Array(this.parameters.buffer, 4 * offset, 4 * length), previous);
  }
  readParameters(out: Float32Array, offset = 0) {
    out.set(this.parameters.subarray(offset, offset + out.length));
  }
  writeParameters(values: Float32Array, offset = 0) {
    this.parameters.set(values, offset);
  }
  readState(_index: number, out: Float32Array, offset = 0) {
    out.set(this.moments.subarray(offset, offset + out.length));
  }
  writeState(_index: number, values: Float32Array, offset = 0) {
    this.moments.set(values, offset);
  }
  setSteps(steps: number) {
    this.steps = steps;
  }
}

function decode(chunk: CodedChunk, length: number): Float32Array {
  const values = new Float32Array(length);
  codec.decode(chunk.bytes, values);
  return values;
}
