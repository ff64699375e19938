import { layOut, type BatchStats, type BlockProfile, type BlockRange, type HostTensor, type TensorHeader } from '@longtail/core';
import { modelOfBlocks, type VirtualBlocks, type VirtualPass } from './blocks.js';
import { idleArithmetic } from './idle-arithmetic.js';
import type { Scenario } from './scenario.js';

export interface TimingModelOptions {
  /** Of the model that it stands for. */
  readonly blocks: readonly Pick<BlockProfile, 'parameters' | 'tied' | 'forwardFlops' | 'backwardFlops' | 'outputBytes'>[];
  readonly trainSamples: number;
  /** @default 0 */
  readonly validationSamples?: number;
}

/** Values that a model of several blocks has here, of one block 4: as many as tell blocks of different size apart. */
const VALUES = 256;
const ALONE = 4;
const FLOAT_BYTES = 4;

/** A model that computes nothing and takes as much time, on links and on devices, as a real one: for a scenario in which only times count. Losses are 0. */
export function timingModel({ blocks, trainSamples, validationSamples = 0 }: TimingModelOptions): Pick<Scenario, 'model' | 'standsFor' | 'arithmetic'> {
  const idle = new IdleBlocks(blocks);
  const model = modelOfBlocks(idle, trainSamples, validationSamples);
  const scale = idle.parameters / model.layout.length;
  return {
    model: { ...model, ignoresSamples: true, gradient: (_parameters, { length: samples }) => statsOf(samples) },
    arithmetic: idleArithmetic,
    standsFor: ({ kind, length }) => Math.round(length * (isActivation(kind) ? idle.activationScale : scale)),
  };
}

function statsOf(samples: number): BatchStats {
  return { samples, targets: samples, lossSum: 0, correct: 0 };
}

/** Of what a stage passes on, rather than of parameters. */
export function isActivation(kind: TensorHeader['kind']): boolean {
  return kind === 'activation' || kind === 'activation-gradient';
}

class IdleBlocks implements VirtualBlocks<VirtualPass> {
  readonly count: number;
  /** Of the model that it stands for. */
  readonly parameters: number;
  /** Values at a border that one here stands for. */
  readonly activationScale: number;
  private readonly flops: readonly number[];

  constructor(private readonly blocks: TimingModelOptions['blocks']) {
    this.count = blocks.length;
    this.parameters = this.tensorsOf({ start: 0, end: this.count }).reduce((sum, { parameters }) => sum + parameters, 0);
    this.activationScale = Math.min(...blocks.map(({ outputBytes }) => outputBytes)) / FLOAT_BYTES;
    const all = blocks.reduce((sum, { forwardFlops, backwardFlops }) => sum + forwardFlops + backwardFlops, 0);
    this.flops = blocks.map(({ forwardFlops, backwardFlops }) => (forwardFlops + backwardFlops) / all);
  }

  layout(range: BlockRange) {
    const values = this.count === 1 ? ALONE : VALUES;
    return layOut(this.tensorsOf(range).map(({ name, parameters }) => ({ name, shape: [Math.max(1, Math.round((values * parameters) / this.parameters))] })));
  }

  initial(range: BlockRange): Float32Array {
    return new Float32Array(this.layout(range).length);
  }

  work({ start, end }: BlockRange): number {
    return this.flops.slice(start, end).reduce((sum, part) => sum + part, 0);
  }

  forward({ start, end }: BlockRange, _parameters: Float32Array, samples: Int32Array) {
    const stats = statsOf(samples.length);
    const last = end === this.count;
    return { output: last ? undefined : this.border(end, samples.length), stats: last ? stats : undefined, backward: () => (start === 0 ? undefined : this.border(start, samples.length)) };
  }

  /** What crosses the border before block `at`. */
  private border(at: number, samples: number): HostTensor {
    const values = Math.round(this.blocks[at - 1]!.outputBytes / FLOAT_BYTES / this.activationScale);
    return { dtype: 'float32', shape: [samples, values], data: new Float32Array(samples * values) };
  }

  /** Of a range, what its blocks share once, where it comes first: stages add up to the same vector wherever they are cut. */
  private tensorsOf({ start, end }: BlockRange): readonly { readonly name: string; readonly parameters: number }[] {
    const tensors = new Map<string, number>();
    for (const [i, { parameters, tied }] of this.blocks.slice(start, end).entries()) {
      if (parameters > 0) tensors.set(`block${start + i}`, parameters);
      for (const { name, parameters: shared } of tied) if (!tensors.has(name)) tensors.set(name, shared);
    }
    return [...tensors].map(([name, parameters]) => ({ name, parameters }));
  }
}
