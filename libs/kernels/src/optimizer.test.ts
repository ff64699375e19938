import type { OptimizerSpec } from '@longtail/core';
import { describe, expect, it } from 'vitest';
import { createOptimizer } from './optimizer.js';

const adam = { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, decoupled: false } as const;
const sgd = { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 } as const;

const specs: [name: string, spec: OptimizerSpec][] = [
  ['SGD', sgd],
  ['SGD with weight decay', { ...sgd, weightDecay: 0.1 }],
  ['SGD with momentum', { ...sgd, momentum: 0.9, weightDecay: 0.01 }],
  ['SGD with Nesterov momentum', { ...sgd, momentum: 0.9, nesterov: true, weightDecay: 0.01 }],
  ['Adam', adam],
  ['Adam with L2', { ...adam, weightDecay: 0.1 }],
  ['AdamW', { ...adam, weightDecay: 0.1, decoupled: true }],
];

/** torch.optim's pseudo-code for one parameter in float64, written without a look at the kernels. */
function oracle(spec: OptimizerSpec, start: number, gradients: readonly number[], rates: readonly number[]): number {
  let theta = start;
  let b: number | undefined;
  let m = 0;
  let v = 0;
  gradients.forEach((gradient, i) => {
    const lr = rates[i]!;
    const t = i + 1;
    let g = gradient;
    if (spec.type === 'adam' && spec.decoupled) theta -= lr * spec.weightDecay * theta;
    else g += spec.weightDecay * theta;
    if (spec.type === 'adam') {
      m = spec.beta1 * m + (1 - spec.beta1) * g;
      v = spec.beta2 * v + (1 - spec.beta2) * g * g;
      theta -= (lr * (m / (1 - spec.beta1 ** t))) / (Math.sqrt(v / (1 - spec.beta2 ** t)) + spec.epsilon);
      return;
    }
    if (spec.momentum !== 0) {
      b = b === undefined ? g : spec.momentum * b + g;
      g = spec.nesterov ? g + spec.momentum * b : b;
    }
    theta -= lr * g;
  });
  return theta;
}

/** Seven values, so that the kernels' scalar tails take part. */
const start = [0.5, -1.25, 2, -0.001, 3.5, 0, -7];
const rates = [0.1, 0.1, 0.05, 0.05, 0.02, 0.01];

function gradientAt(step: number): Float32Array {
  return Float32Array.from(start, (_, i) => Math.cos(1.3 * step + i) * (i + 1));
}

describe.each(specs)('%s', (_name, optimizer) => {
  it('follows torch.optim’s definition over steps of changing learning rate', () => {
    const parameters = Float32Array.from(start);
    const steps = createOptimizer({ length: start.length, optimizer });
    rates.forEach((learningRate, step) => steps.step(parameters, gradientAt(step), { learningRate }));
    start.forEach((value, i) => {
      const expected = oracle(
        optimizer,
        value,
        rates.map((_, step) => gradientAt(step)[i]!),
        rates,
      );
      expect(Math.abs(parameters[i]! - expected)).toBeLessThan(2e-6 * Math.max(1, Math.abs(expected)));
    });
  });

  it('goes on from restored state as if never interrupted, in either implementation', () => {
    const through = Float32Array.from(start);
    const resumed = Float32Array.from(start);
    const whole = createOptimizer({ length: start.length, optimizer });
    const first = createOptimizer({ length: start.length, optimizer });
    for (const step of [0, 1]) first.step(resumed, gradientAt(step), { learningRate: 0.1 });

    const second = createOptimizer({ length: start.length, optimizer, implementation: 'reference' });
    second.setSteps(first.steps);
    second.state().forEach((vector, i) => vector.set(first.state()[i]!));
    for (const step of [2, 3]) second.step(resumed, gradientAt(step), { learningRate: 0.1 });

    for (const step of [0, 1, 2, 3]) whole.step(through, gradientAt(step), { learningRate: 0.1 });
    expect(resumed).toEqual(through);
    expect(second.state()).toEqual(whole.state().map((vector) => Float32Array.from(vector)));
    expect(second.steps).toBe(4);
  });
});

it('refuses parameters of another length', () => {
  const optimizer = createOptimizer({ length: 3, optimizer: sgd });
  expect(() => optimizer.step(new Float32Array(2), new Float32Array(2), { learningRate: 1 })).toThrow('length 2, not 3');
});
