export type OptimizerSpec =
  | { readonly type: 'sgd'; readonly momentum: number; readonly nesterov: boolean; readonly weightDecay: number }
  | {
      /** Adam (Kingma & Ba 2015); with `decoupled`, AdamW (Loshchilov & Hutter 2019). */
      readonly type: 'adam';
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
      readonly weightDecay: number;
      readonly decoupled: boolean;
    };

/** What may change from step to step. */
export interface StepHyper {
  readonly learningRate: number;
}

/** Flat state vectors that an optimizer keeps for each parameter: SGD none or its momentum, Adam m and v. */
export function optimizerStateCount(optimizer: OptimizerSpec): number {
  return optimizer.type === 'adam' ? 2 : optimizer.momentum > 0 ? 1 : 0;
}

export type LearningRateSchedule =
  | { readonly type: 'constant' }
  /** Linear from 0 over `warmup` (a fraction of the run), then cosine or linear down to `floor` × the base rate. */
  | { readonly type: 'cosine' | 'linear'; readonly warmup: number; readonly floor: number };

/** An optimizer over flat vectors in place. */
export interface Optimizer {
  step(parameters: Float32Array, gradient: Float32Array, hyper: StepHyper): void;
  state(): readonly Float32Array[];
}
