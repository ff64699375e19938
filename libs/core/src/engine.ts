import type { Batch, DataSignature } from './data.js';
import type { BlockRange, LossName, ModelSpec, ParameterLayout } from './model.js';
import type { OptimizerSpec, StepHyper } from './optimizer.js';
import type { HostTensor, VectorRange } from './tensor.js';

export type EngineName = 'tensorflow' | 'webgpu' | 'wasm' | 'cpu';

/** What an engine keeps of a microbatch between its passes, in what shapes say: the portable ones' tape has every step between (measured on a GPT). */
export function stashFactorOf(engine: string): number {
  return engine === 'tensorflow' ? 1 : 1.8;
}

export interface EngineInfo {
  readonly name: EngineName;
  /** Backend, version and device for people: `TensorFlow 2.21.0, CPU, 2 threads`. */
  readonly description: string;
  readonly device: 'cpu' | 'gpu';
}

/** Sums over a batch; means are taken by whoever adds several batches up. */
export interface BatchStats {
  readonly samples: number;
  /** Predicted targets: one a sample for labels, one a token for text. */
  readonly targets: number;
  /** Sum over targets of the loss. */
  readonly lossSum: number;
  /** Targets whose most likely prediction was right; 0 for regression. */
  readonly correct: number;
}

export interface BuildOptions {
  readonly loss: LossName;
  /** What the stage will be fed: the model is checked against it, and models from modules are made for it. */
  readonly data: DataSignature;
  readonly seed: number;
  /** Largest batch of one graph; larger batches are split, and their gradients added. Undefined: the engine decides. */
  readonly maxMicrobatch?: number;
  /** A microbatch's stash is its input alone, and forward runs again at backward: a third more work for a fraction of the memory. */
  readonly recompute?: boolean;
}

/** A backend that turns models into stages. */
export interface Engine {
  readonly info: EngineInfo;
  /** Builds blocks of a model with fresh parameters drawn from the seed: equal on every engine. */
  build(model: ModelSpec, blocks: BlockRange | 'all', options: BuildOptions): Promise<Stage>;
  /** Frees everything. Stages built by it are dead afterwards. */
  dispose(): Promise<void>;
}

/** What a stage's forward pass gives. */
export interface StageOutput {
  /** Float32. Of the last stage: the loss of each sample, shape [samples]. */
  readonly output: HostTensor;
  /** Of the last stage. */
  readonly stats: BatchStats | undefined;
}

/**
 * One worker's part of the model. Parameters are one flat float32 vector in the order of `layout`.
 * Gradients are *sums over samples* of the gradient of the sample's mean loss: whoever adds up several workers
 * divides by the number of samples.
 */
export interface Stage {
  readonly layout: ParameterLayout;
  readonly isFirst: boolean;
  readonly isLast: boolean;
  /** Memory held for microbatches between their forward and the end of their backward pass; parameters do not count. */
  readonly stashBytes: number;

  /** Keeps what backward needs under `microbatch`. Targets go to the last stage. */
  forward(microbatch: number, input: HostTensor, targets?: HostTensor): Promise<StageOutput>;
  /** The same without a stash: for evaluation. */
  infer(input: HostTensor, targets?: HostTensor): Promise<StageOutput>;
  /**
   * Adds the parameter gradient of this microbatch to the sum, frees its stash and returns the gradient of the input
   * (undefined on the first stage). The last stage takes no `gradOutput`: it seeds each sample with 1. The parameters
   * are those of the forward pass, whatever was written since.
   */
  backward(microbatch: number, gradOutput?: HostTensor): Promise<HostTensor | undefined>;
  /** The half of `backward` that the stage before waits for: the gradient of the input. Keeps what the other half needs. */
  backwardInput(microbatch: number, gradOutput?: HostTensor): Promise<HostTensor | undefined>;
  /** The other half, after `backwardInput`: adds the parameter gradient to the sum and frees the stash. */
  backwardWeights(microbatch: number): Promise<void>;
  /** Forgets stashes and gradient sum; of `microbatches`, only their stashes. */
  dropPasses(microbatches?: readonly number[]): Promise<void>;

  /** Whole model only: forward, loss and backward of a batch as one call; the gradient is added to the sum. */
  gradient(batch: Batch): Promise<BatchStats>;
  /** Whole model only: forward, backward and optimizer of a batch as one call (the mean gradient over `batch`). `useOptimizer` first. */
  step(batch: Batch, hyper: StepHyper): Promise<BatchStats>;
  /** Whole model only: loss and accuracy, no gradient. */
  evaluate(batch: Batch): Promise<BatchStats>;

  /** Copies the gradient sum out and resets it; `samples` counts what went in. */
  takeGradient(out: Float32Array): Promise<{ samples: number }>;
  /** `within`: only the tensors that it touches, each as a whole. */
  readParameters(out: Float32Array, within?: VectorRange): Promise<void>;
  writeParameters(flat: Float32Array): Promise<void>;
  /** Adds what `difference` (length = layout.length) has within the range to the parameters there. */
  addParameters(difference: Float32Array, within: VectorRange): Promise<void>;

  /**
   * One step of the stage's own optimizer on `gradientSum` / `samples`: a gradient that `takeGradient` gave, and whatever was
   * added to it since. Passes under way go on with the parameters that they began with. `useOptimizer` first.
   */
  applyGradient(gradientSum: Float32Array, samples: number, hyper: StepHyper): Promise<void>;

  /** Gives the stage an optimizer of its own with fresh state. */
  useOptimizer(optimizer: OptimizerSpec): Promise<void>;
  /** Flat moment vectors in the optimizer's order, and the count of steps taken. */
  readOptimizerState(out: readonly Float32Array[]): Promise<{ steps: number }>;
  writeOptimizerState(state: readonly Float32Array[], steps: number): Promise<void>;

  dispose(): Promise<void>;
}
