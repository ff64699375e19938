import type { ParameterSlot } from './model.js';
import type { HostTensor } from './tensor.js';

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
      /** Of a moment: float32, or blocks in 8 bits (Dettmers et al. 2022), which the server alone steps with. @default 32 */
      readonly stateBits?: 8 | 32;
      /** Matrices are stepped by Muon (Jordan et al. 2024), which keeps its momentum where Adam has m. On workers only: the server has no engine. */
      readonly muon?: { readonly momentum: number };
    };

/** Is a parameter stepped by Muon, where the optimizer has it? Weights with rows and columns, but for embeddings, whose rows are vectors of their own. */
export function isMuonMatrix({ name, shape, trainable }: ParameterSlot): boolean {
  return trainable && shape.length === 2 && Math.min(...shape) > 1 && !name.includes('embedding');
}

/** Newton–Schulz iteration of fifth order towards the nearest orthogonal matrix: X ← aX + (bA + cA²)X with A = XXᵀ. Coefficients after Jordan et al. 2024. */
export const NEWTON_SCHULZ = { steps: 5, a: 3.4445, b: -4.775, c: 2.0315, epsilon: 1e-7 } as const;

/** What an orthogonal direction is multiplied by, so that its root mean square is that of AdamW's steps and one learning rate serves both (Liu et al. 2025, arXiv 2502.16982). */
export function muonScale([rows, columns]: readonly number[]): number {
  return 0.2 * Math.sqrt(Math.max(rows!, columns!));
}

/** What may change from step to step. */
export interface StepHyper {
  readonly learningRate: number;
}

/** Flat state vectors that an optimizer keeps for each parameter: SGD none or its momentum, Adam m and v. */
export function optimizerStateCount(optimizer: OptimizerSpec): number {
  return optimizer.type === 'adam' ? 2 : optimizer.momentum > 0 ? 1 : 0;
}

/** A state vector as it is kept: a value a parameter, or blocks in 8 bits, each a float32 scale and a code a parameter. */
export type StateVector = Float32Array | Uint8Array;

/** Parameters that share a scale in 8-bit state, and the bytes of such a block. */
export const STATE_BLOCK = { length: 256, bytes: 4 + 256 } as const;

/** Does it keep its state in 8 bits? */
export function isStateQuantized(optimizer: OptimizerSpec): boolean {
  return optimizer.type === 'adam' && optimizer.stateBits === 8;
}

/** Flat state vectors that a worker keeps to take steps of its own. */
export function localStateCount(optimizer: OptimizerSpec): number {
  return isStateQuantized(optimizer) ? 0 : optimizerStateCount(optimizer);
}

/**
 * Bytes a parameter of the state that a worker keeps for itself where groups take local steps. Moments in 8 bits are stepped
 * by the kernels, which need the parameters beside them.
 */
export function ownStateBytes(optimizer: OptimizerSpec): number {
  const vectors = optimizerStateCount(optimizer);
  return isStateQuantized(optimizer) ? 4 + (vectors * STATE_BLOCK.bytes) / STATE_BLOCK.length : 4 * vectors;
}

/**
 * What to divide a gradient sum over `samples` by, with this sum of its squares, so that it becomes the mean, or the mean
 * clipped to a norm of `clipNorm`.
 */
export function clippedDivisor(sumOfSquares: () => number, samples: number, clipNorm: number | undefined): number {
  return clipNorm === undefined ? samples : Math.max(samples, Math.sqrt(sumOfSquares()) / clipNorm);
}

export function sumOfSquares(values: HostTensor['data']): number {
  let sum = 0;
  // By index: V8 takes fifteen times as long over the values of a typed array.
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return sum;
}

/** The square of a finite float32 is far from float64's limits, so the sum is finite just when all values are. */
export function allFinite(values: HostTensor['data']): boolean {
  return Number.isFinite(sumOfSquares(values));
}

/** State of `length` parameters at the start: zeros, also as blocks in 8 bits. */
export function freshState(optimizer: OptimizerSpec, length: number): readonly StateVector[] {
  const bytes = length + 4 * Math.ceil(length / STATE_BLOCK.length);
  const vector = (): StateVector => (isStateQuantized(optimizer) ? new Uint8Array(bytes) : new Float32Array(length));
  return Array.from({ length: optimizerStateCount(optimizer) }, vector);
}

export type LearningRateSchedule =
  | { readonly type: 'constant' }
  /** Linear from 0 over `warmup` (a fraction of the run), then cosine or linear down to `floor` × the base rate. */
  | { readonly type: 'cosine' | 'linear'; readonly warmup: number; readonly floor: number };

/** An optimizer over flat vectors in place. */
export interface Optimizer {
  /** The gradient is multiplied by `gradientScale` first. @default 1 */
  step(parameters: Float32Array, gradient: Float32Array, hyper: StepHyper, gradientScale?: number): void;
  state(): readonly Float32Array[];
}
