/**
 * One step of a stage on one microbatch: `F` forward, `B` backward whole, or backward in its two halves: `I` the gradient
 * of the stage's input, `W` that of its weights (Qi et al. 2024, Zero Bubble Pipeline Parallelism).
 */
export interface Action {
  readonly op: 'F' | 'B' | 'I' | 'W';
  /** Of the model, not of the worker: with interleaving a worker holds several. */
  readonly stage: number;
  readonly microbatch: number;
}

/** What one microbatch costs a stage, in milliseconds. */
export interface StageTiming {
  readonly forwardMs: number;
  /** Both halves together. */
  readonly backwardMs: number;
  /** The part of `backwardMs` that the gradient of the input takes. */
  readonly inputGradientMs: number;
  /** From the end of a forward pass here until its output has arrived at the next stage; 0 for the last stage. */
  readonly activationHopMs: number;
  /** From the end of a backward pass at the next stage until its gradient has arrived here; 0 for the last stage. */
  readonly gradientHopMs: number;
  /** The part of `activationHopMs` for which the message takes up the uplink of this stage's worker: others wait. @default 0 */
  readonly activationSendMs?: number;
  /** The part of `gradientHopMs` for which the message takes up the uplink of the next stage's worker. @default 0 */
  readonly gradientSendMs?: number;
}

/** The order in which each worker of a pipeline does its actions: pure lists, from which sends and receives are derived. */
export interface Schedule {
  readonly name: ScheduleName;
  /** Stages a worker holds. With p workers stage s is on worker s mod p (Narayanan et al. 2021), and `stages` has p · chunks entries. */
  readonly chunks: number;
  /** Backward passes come as I and W, not as B. */
  readonly splitsBackward: boolean;
  /** What worker `rank` does, in order. Each F once and each B (or I and W) once for each of its stages and microbatches. */
  actions(rank: number, stages: readonly StageTiming[], microbatches: number): readonly Action[];
  /** Most stashes worker `rank` holds at any moment, one a stage and microbatch: from F until B, or until W. */
  stashCap(rank: number, stages: readonly StageTiming[], microbatches: number): number;
}

export type ScheduleName = 'gpipe' | '1f1b' | 'capped-1f1b' | 'interleaved' | 'zero-bubble';
