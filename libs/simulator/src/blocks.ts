import type { BatchStats, BlockRange, HostTensor, ParameterLayout } from '@longtail/core';
import type { VirtualModel } from './model.js';

interface ForwardPass {
  /** For the next stage; undefined at the last. */
  readonly output: HostTensor | undefined;
  /** At the last stage. */
  readonly stats: BatchStats | undefined;
}

/** What a stage keeps of a microbatch between forward and backward. */
export interface VirtualPass extends ForwardPass {
  /** Adds the parameters' gradient to `out` where there is one, and gives that of the input. */
  backward(outputGradient: HostTensor | undefined, out: Float32Array | undefined): HostTensor | undefined;
}

/** The same on a real engine. */
export interface EnginePass extends ForwardPass {
  /** The half without `out` comes before the one with it. */
  backward(outputGradient: HostTensor | undefined, out: Float32Array | undefined): Promise<HostTensor | undefined>;
  /** There will be no backward pass. */
  drop(): void;
}

/** A model as blocks, for devices that hold some of them. Parameters are named, and drawn by name. */
export interface VirtualBlocks<Pass = VirtualPass | Promise<EnginePass>> {
  readonly count: number;
  layout(blocks: BlockRange): ParameterLayout;
  initial(blocks: BlockRange, seed: number): Float32Array;
  /** Part of the model's work. @default the part of its blocks */
  work?(blocks: BlockRange): number;
  /** Samples of the validation split are counted on after those of the training split. */
  forward(blocks: BlockRange, parameters: Float32Array, samples: Int32Array, input: HostTensor | undefined): Pass;
}

/** The whole model of blocks. */
export function modelOfBlocks(blocks: VirtualBlocks<VirtualPass>, trainSamples: number, validationSamples: number): VirtualModel {
  const all = { start: 0, end: blocks.count };
  return {
    layout: blocks.layout(all),
    trainSamples,
    validationSamples,
    blocks,
    initial: (seed) => blocks.initial(all, seed),
    gradient(parameters, samples, out) {
      const pass = blocks.forward(all, parameters, samples, undefined);
      out.fill(0);
      pass.backward(undefined, out);
      return pass.stats!;
    },
    evaluate(parameters, split, start, end) {
      const from = split === 'train' ? 0 : trainSamples;
      const samples = Int32Array.from({ length: end - start }, (_, i) => from + start + i);
      return blocks.forward(all, parameters, samples, undefined).stats!;
    },
  };
}
