import { isStateQuantized, optimizerStateCount, type Optimizer, type OptimizerSpec, type StepHyper } from '@longtail/core';
import { createKernels } from './create-kernels.js';
import { assertLength, type Kernels, type KernelsImplementation } from './kernels.js';

/** One optimizer step, ready to be applied to any slice of the vectors; the gradient is multiplied by `gradientScale`. */
export type StepKernel = (parameters: Float32Array, gradient: Float32Array, state: readonly Float32Array[], gradientScale: number) => void;

/**
 * Step number `step` (from 1), with the definitions of PyTorch's torch.optim:
 *
 * - SGD, with momentum (Polyak 1964) or Nesterov's as of Sutskever et al. 2013; weight decay is added to the gradient.
 * - Adam (Kingma & Ba 2015, algorithm 1), moments corrected for their start at zero; weight decay is added to the gradient.
 * - AdamW (`decoupled`; Loshchilov & Hutter 2019, algorithm 2): weight decay shrinks the parameters by lr·λ instead.
 *
 * Coefficients are derived in float64 and rounded once.
 */
export function planStep(kernels: Kernels, spec: OptimizerSpec, hyper: StepHyper, step: number): StepKernel {
  if (spec.type === 'adam') return planAdam(kernels, spec, hyper, step);
  const { momentum, nesterov, weightDecay } = spec;
  const { learningRate } = hyper;
  if (momentum === 0) {
    return (parameters, gradient, _state, gradientScale) => kernels.sgd(parameters, gradient, { gradientScale, learningRate, weightDecay });
  }
  const direct = nesterov ? 1 : 0;
  const carried = nesterov ? momentum : 1;
  return (parameters, gradient, [buffer], gradientScale) =>
    kernels.sgdMomentum(parameters, gradient, buffer!, {
      gradientScale,
      learningRate,
      weightDecay,
      momentum,
      direct,
      carried,
    });
}

function planAdam(kernels: Kernels, spec: Extract<OptimizerSpec, { type: 'adam' }>, { learningRate }: StepHyper, step: number): StepKernel {
  const { beta1, beta2, epsilon, weightDecay, decoupled, muon } = spec;
  if (muon !== undefined) throw new Error('Muon steps on an engine');
  const fixed = {
    l2: decoupled ? 0 : weightDecay,
    keep: decoupled ? 1 - learningRate * weightDecay : 1,
    oneMinusBeta1: 1 - beta1,
    beta2,
    oneMinusBeta2: 1 - beta2,
    stepSize: learningRate / (1 - beta1 ** step),
    rootScale: 1 / Math.sqrt(1 - beta2 ** step),
    epsilon,
  };
  return (parameters, gradient, [m, v], gradientScale) => kernels.adam(parameters, gradient, m!, v!, { ...fixed, gradientScale });
}

export interface OptimizerOptions {
  /** Values in the parameter vector. */
  readonly length: number;
  readonly optimizer: OptimizerSpec;
  /** @default 'wasm' */
  readonly implementation?: KernelsImplementation;
}

/** An optimizer with its step count, so that a checkpoint can restore it. */
export interface CountedOptimizer extends Optimizer {
  /** Steps taken. */
  readonly steps: number;
  setSteps(steps: number): void;
}

/**
 * An optimizer over whole vectors, for local steps on a worker. Its state lives in kernel memory; `state()` gives the
 * vectors themselves, momentum for SGD, first and second moment for Adam, and a checkpoint is restored by writing to them.
 * State in 8 bits is stepped in a shard only: a plain `Error` here.
 */
export function createOptimizer({ length, optimizer, implementation }: OptimizerOptions): CountedOptimizer {
  if (isStateQuantized(optimizer)) throw new Error('8-bit state is stepped in a shard');
  const vectors = new Array<number>(optimizerStateCount(optimizer)).fill(length);
  const kernels = createKernels({ vectors, implementation });
  return new KernelOptimizer(
    kernels,
    optimizer,
    vectors.map(() => kernels.allocate(length)),
    length,
  );
}

class KernelOptimizer implements CountedOptimizer {
  private taken = 0;

  constructor(
    private readonly kernels: Kernels,
    private readonly spec: OptimizerSpec,
    private readonly vectors: readonly Float32Array[],
    private readonly length: number,
  ) {}

  get steps(): number {
    return this.taken;
  }

  setSteps(steps: number): void {
    this.taken = steps;
  }

  step(parameters: Float32Array, gradient: Float32Array, hyper: StepHyper, gradientScale = 1): void {
    assertLength(parameters.length, this.length, 'parameters');
    this.taken++;
    planStep(this.kernels, this.spec, hyper, this.taken)(parameters, gradient, this.vectors, gradientScale);
  }

  state(): readonly Float32Array[] {
    return this.vectors;
  }
}
