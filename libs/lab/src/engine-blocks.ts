import type { BlockRange, Dataset, HostTensor, ParameterLayout, Stage } from '@longtail/core';
import { initialParameters, stageModel, type Model } from '@longtail/engine';
import { SharedStage, type EnginePass, type VirtualBlocks } from '@longtail/simulator';

export interface EngineBlocksOptions {
  readonly model: Model;
  readonly data: Dataset;
  /** Of forward and backward, for each block. */
  readonly flops: readonly number[];
  build(blocks: BlockRange): Promise<Stage>;
}

/** Blocks of a model on a real engine: one stage of each range computes for all virtual devices that hold it. */
export class EngineBlocks implements VirtualBlocks<Promise<EnginePass>> {
  readonly count: number;
  private readonly stages = new Map<string, Promise<SharedStage>>();
  /** Passes so far: a stage has those of several devices at once, which number their microbatches alike. */
  private passes = 0;

  constructor(private readonly options: EngineBlocksOptions) {
    this.count = options.model.blocks.length;
  }

  layout(blocks: BlockRange): ParameterLayout {
    return stageModel(this.options.model, blocks).layout;
  }

  initial(blocks: BlockRange, seed: number): Float32Array {
    return initialParameters(stageModel(this.options.model, blocks), seed);
  }

  work({ start, end }: BlockRange): number {
    const { flops } = this.options;
    return sum(flops.slice(start, end)) / sum(flops);
  }

  async forward(blocks: BlockRange, parameters: Float32Array, samples: Int32Array, input: HostTensor | undefined): Promise<EnginePass> {
    const shared = await this.stageOf(blocks);
    const pass = this.passes++;
    const { inputs, targets } = this.feeds(blocks, samples, input);
    const { output, stats } = await shared.inTurn(parameters, (stage) => stage.forward(pass, inputs, targets));
    let halved = false;
    return {
      output: stats === undefined ? output : undefined,
      stats,
      backward: (outputGradient, out) =>
        shared.inTurn(undefined, async (stage) => {
          if (out === undefined) {
            halved = true;
            return stage.backwardInput(pass, outputGradient);
          }
          const inputGradient = halved ? await stage.backwardWeights(pass) : await stage.backward(pass, outputGradient);
          await addGradient(stage, out);
          return inputGradient ?? undefined;
        }),
      drop: () => void shared.inTurn(undefined, (stage) => stage.dropPasses([pass])),
    };
  }

  private feeds({ start, end }: BlockRange, samples: Int32Array, input: HostTensor | undefined): { readonly inputs: HostTensor; readonly targets?: HostTensor } {
    const { data } = this.options;
    const isLast = end === this.count;
    if (start > 0 && !isLast) return { inputs: input! };
    const trainSamples = data.length('train');
    const isTraining = samples.every((sample) => sample < trainSamples);
    const batch = isTraining ? data.batch('train', samples) : data.batch('validation', samples.map((sample) => sample - trainSamples));
    return { inputs: input ?? batch.inputs, targets: isLast ? batch.targets : undefined };
  }

  private stageOf(blocks: BlockRange): Promise<SharedStage> {
    const key = `${blocks.start}-${blocks.end}`;
    let stage = this.stages.get(key);
    if (stage === undefined) this.stages.set(key, (stage = this.options.build(blocks).then((built) => new SharedStage(built))));
    return stage;
  }
}

async function addGradient(stage: Stage, out: Float32Array): Promise<void> {
  const gradient = new Float32Array(out.length);
  await stage.takeGradient(gradient);
  for (let i = 0; i < out.length; i++) out[i]! += gradient[i]!;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
