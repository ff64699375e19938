import type { OptimizerSpec, ParameterLayout } from '@longtail/core';

/** PyTorch's SGD, Adam and AdamW element by element in float64: what `step` is checked against. */
export class ReferenceOptimizer {
  private readonly first: Float64Array;
  private readonly second: Float64Array;
  private steps = 0;

  constructor(
    private readonly spec: OptimizerSpec,
    private readonly layout: ParameterLayout,
  ) {
    this.first = new Float64Array(layout.length);
    this.second = new Float64Array(layout.length);
  }

  /** In place on the trainable parameters; `gradient` is the mean over samples. */
  step(parameters: Float32Array, gradient: Float32Array, learningRate: number): void {
    this.steps++;
    for (const slot of this.layout.slots) {
      if (!slot.trainable) continue;
      for (let i = slot.offset; i < slot.offset + slot.length; i++) parameters[i] = this.next(i, parameters[i], gradient[i], learningRate);
    }
  }

  private next(i: number, parameter: number, gradient: number, learningRate: number): number {
    const { spec, first, second } = this;
    if (spec.type === 'sgd') {
      const g = gradient + spec.weightDecay * parameter;
      first[i] = spec.momentum * first[i] + g;
      return parameter - learningRate * (spec.nesterov ? g + spec.momentum * first[i] : first[i]);
    }
    const g = spec.decoupled ? gradient : gradient + spec.weightDecay * parameter;
    const decayed = spec.decoupled ? parameter * (1 - learningRate * spec.weightDecay) : parameter;
    first[i] = spec.beta1 * first[i] + (1 - spec.beta1) * g;
    second[i] = spec.beta2 * second[i] + (1 - spec.beta2) * g * g;
    const mean = first[i] / (1 - spec.beta1 ** this.steps);
    const deviation = Math.sqrt(second[i] / (1 - spec.beta2 ** this.steps));
    return decayed - (learningRate * mean) / (deviation + spec.epsilon);
  }
}
