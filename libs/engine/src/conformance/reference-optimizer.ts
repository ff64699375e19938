import { isMuonMatrix, muonScale, NEWTON_SCHULZ } from '@longtail/core';
import type { OptimizerSpec, ParameterLayout, ParameterSlot } from '@longtail/core';

/** PyTorch's SGD, Adam and AdamW element by element, Muon matrix by matrix, in float64: what `step` is checked against. */
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
      if (this.spec.type === 'adam' && this.spec.muon !== undefined && isMuonMatrix(slot)) {
        this.muon(slot, this.spec.muon.momentum, parameters, gradient, learningRate);
        continue;
      }
      for (let i = slot.offset; i < slot.offset + slot.length; i++) parameters[i] = this.next(i, parameters[i], gradient[i], learningRate);
    }
  }

  private muon({ offset, length, shape }: ParameterSlot, beta: number, parameters: Float32Array, gradient: Float32Array, learningRate: number): void {
    const direction = new Float64Array(length);
    for (let i = 0; i < length; i++) {
      const at = offset + i;
      this.first[at] = beta * this.first[at] + (1 - beta) * gradient[at];
      direction[i] = (1 - beta) * gradient[at] + beta * this.first[at];
    }
    const orthogonal = orthogonalised(direction, shape);
    for (let i = 0; i < length; i++) {
      const kept = parameters[offset + i] * (1 - learningRate * this.spec.weightDecay);
      parameters[offset + i] = kept - learningRate * muonScale(shape) * orthogonal[i];
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

function orthogonalised(x: Float64Array, [rows, columns]: readonly number[]): Float64Array {
  const { steps, a, b, c, epsilon } = NEWTON_SCHULZ;
  const norm = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0)) + epsilon;
  let y = x.map((value) => value / norm);
  for (let step = 0; step < steps; step++) {
    const square = product(y, transposed(y, rows, columns), rows, columns, rows);
    const fourth = product(square, square, rows, rows, rows);
    const series = square.map((value, i) => b * value + c * fourth[i]);
    const moved = product(series, y, rows, rows, columns);
    y = y.map((value, i) => a * value + moved[i]);
  }
  return y;
}

function transposed(x: Float64Array, rows: number, columns: number): Float64Array {
  return x.map((_, i) => x[(i % rows) * columns + Math.floor(i / rows)]);
}

/** [m, k] · [k, n] */
function product(x: Float64Array, y: Float64Array, m: number, k: number, n: number): Float64Array {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) for (let l = 0; l < k; l++) out[i * n + j] += x[i * k + l] * y[l * n + j];
  return out;
}
