import { layOut, type BatchStats, type BlockRange, type HostTensor, type TensorHeader } from '@longtail/core';
import { modelOfBlocks, type VirtualBlocks } from './blocks.js';
import type { Scenario } from './scenario.js';

export interface TimingModelOptions {
  /** Of the model that it stands for. */
  readonly parameters: number;
  readonly trainSamples: number;
  /** @default 0 */
  readonly validationSamples?: number;
  /** Of a sample, at each border between two blocks; for pipelines. @default 1 */
  readonly activationValues?: number;
  /** Alike. @default 1 */
  readonly blocks?: number;
}

/** Values that a block has here. */
const BLOCK_VALUES = 4;

/** A model that computes nothing and takes as much time on links as a real one: for a scenario in which only times count. Losses are 0. */
export function timingModel(options: TimingModelOptions): Pick<Scenario, 'model' | 'standsFor'> {
  const { parameters, trainSamples, validationSamples = 0, activationValues = 1, blocks = 1 } = options;
  const model = modelOfBlocks(new IdleBlocks(blocks), trainSamples, validationSamples);
  const scale = parameters / model.layout.length;
  return {
    model: { ...model, ignoresSamples: true },
    standsFor: ({ kind, length }: TensorHeader) => Math.round(length * (isActivation(kind) ? activationValues : scale)),
  };
}

function isActivation(kind: TensorHeader['kind']): boolean {
  return kind === 'activation' || kind === 'activation-gradient';
}

class IdleBlocks implements VirtualBlocks {
  constructor(readonly count: number) {}

  layout({ start, end }: BlockRange) {
    return layOut(Array.from({ length: end - start }, (_, i) => ({ name: `block${start + i}`, shape: [BLOCK_VALUES] })));
  }

  initial({ start, end }: BlockRange): Float32Array {
    return new Float32Array(BLOCK_VALUES * (end - start));
  }

  forward({ start, end }: BlockRange, _parameters: Float32Array, samples: Int32Array) {
    const border = (): HostTensor => ({ dtype: 'float32', shape: [samples.length, 1], data: new Float32Array(samples.length) });
    const stats: BatchStats = { samples: samples.length, targets: samples.length, lossSum: 0, correct: 0 };
    const last = end === this.count;
    return { output: last ? undefined : border(), stats: last ? stats : undefined, backward: () => (start === 0 ? undefined : border()) };
  }
}
