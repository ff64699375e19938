import { isMuonMatrix, muonScale, NEWTON_SCHULZ, optimizerStateCount } from '@longtail/core';
import type { OptimizerSpec, ParameterLayout, ParameterSlot, StepHyper } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';

type AdamSpec = Extract<OptimizerSpec, { type: 'adam' }>;
type SgdSpec = Extract<OptimizerSpec, { type: 'sgd' }>;

/** New values of one tensor and of its moments. */
type Update = { parameter: tfjs.Tensor; moments: tfjs.Tensor[] };

/**
 * Optimizer over a stage's tensors on their device, by PyTorch's definitions (torch.optim.SGD without dampening,
 * torch.optim.Adam, torch.optim.AdamW), which are also those of `@longtail/kernels`.
 */
export class TensorOptimizer {
  /** moments[k][slot]: SGD's momentum, or Adam's first and second moment. */
  moments: tfjs.Tensor[][];
  steps = 0;

  constructor(
    private readonly tf: typeof tfjs,
    private readonly spec: OptimizerSpec,
    private readonly layout: ParameterLayout,
  ) {
    this.moments = Array.from({ length: optimizerStateCount(spec) }, () => layout.slots.map((slot) => tf.zeros([...slot.shape])));
  }

  /**
   * One step on the mean gradient, `gradientSums / samples`; a tensor without gradient counts as gradient 0. Returns the
   * parameters' new tensors, the frozen ones unchanged; the old ones are the caller's to dispose.
   */
  step(parameters: readonly tfjs.Tensor[], gradientSums: readonly (tfjs.Tensor | undefined)[], samples: number, hyper: StepHyper): tfjs.Tensor[] {
    this.steps++;
    return this.layout.slots.map((slot, i) => {
      if (!slot.trainable) return parameters[i];
      const { parameter, moments } = this.tf.tidy(() => {
        const sum = gradientSums[i] ?? this.tf.zerosLike(parameters[i]);
        return this.update(slot, parameters[i], this.tf.mul(sum, 1 / samples), this.moments.map((moment) => moment[i]), hyper.learningRate);
      });
      moments.forEach((moment, k) => {
        this.moments[k][i].dispose();
        this.moments[k][i] = moment;
      });
      return parameter;
    });
  }

  dispose(): void {
    this.moments.flat().forEach((moment) => moment.dispose());
  }

  private update(slot: ParameterSlot, parameter: tfjs.Tensor, gradient: tfjs.Tensor, moments: tfjs.Tensor[], learningRate: number): Update {
    if (this.spec.type === 'adam' && this.spec.muon !== undefined && isMuonMatrix(slot)) return this.muon(this.spec, parameter, gradient, moments, learningRate);
    return this.spec.type === 'adam' ? this.adam(this.spec, parameter, gradient, moments, learningRate) : this.sgd(this.spec, parameter, gradient, moments, learningRate);
  }

  private sgd({ momentum, nesterov, weightDecay }: SgdSpec, parameter: tfjs.Tensor, gradient: tfjs.Tensor, [velocity]: tfjs.Tensor[], learningRate: number): Update {
    const { tf } = this;
    const g = weightDecay === 0 ? gradient : tf.add(gradient, tf.mul(parameter, weightDecay));
    const descend = (direction: tfjs.Tensor): tfjs.Tensor => tf.sub(parameter, tf.mul(direction, learningRate));
    if (velocity === undefined) return { parameter: descend(g), moments: [] };
    const next = tf.add(tf.mul(velocity, momentum), g);
    return { parameter: descend(nesterov ? tf.add(g, tf.mul(next, momentum)) : next), moments: [next] };
  }

  private adam({ beta1, beta2, epsilon, weightDecay, decoupled }: AdamSpec, parameter: tfjs.Tensor, gradient: tfjs.Tensor, [first, second]: tfjs.Tensor[], learningRate: number): Update {
    const { tf } = this;
    const decayed = decoupled && weightDecay > 0 ? tf.mul(parameter, 1 - learningRate * weightDecay) : parameter;
    const g = !decoupled && weightDecay > 0 ? tf.add(gradient, tf.mul(parameter, weightDecay)) : gradient;
    const m = tf.add(tf.mul(first, beta1), tf.mul(g, 1 - beta1));
    const v = tf.add(tf.mul(second, beta2), tf.mul(tf.square(g), 1 - beta2));
    const stepSize = learningRate / (1 - beta1 ** this.steps);
    const deviation = tf.add(tf.mul(tf.sqrt(v), 1 / Math.sqrt(1 - beta2 ** this.steps)), epsilon);
    return { parameter: tf.sub(decayed, tf.mul(tf.div(m, deviation), stepSize)), moments: [m, v] };
  }

  private muon({ muon, weightDecay }: AdamSpec, parameter: tfjs.Tensor, gradient: tfjs.Tensor, [momentum, unused]: tfjs.Tensor[], learningRate: number): Update {
    const { tf } = this;
    const beta = muon!.momentum;
    const next = tf.add(tf.mul(momentum, beta), tf.mul(gradient, 1 - beta));
    const direction = this.orthogonal(tf.add(tf.mul(gradient, 1 - beta), tf.mul(next, beta)) as tfjs.Tensor2D);
    const decayed = tf.mul(parameter, 1 - learningRate * weightDecay);
    return { parameter: tf.sub(decayed, tf.mul(direction, learningRate * muonScale(parameter.shape))), moments: [next, unused.clone()] };
  }

  /** The wider side is the inner one of XXᵀ, which so is small. */
  private orthogonal(x: tfjs.Tensor2D): tfjs.Tensor2D {
    const { tf } = this;
    const { steps, a, b, c, epsilon } = NEWTON_SCHULZ;
    const tall = x.shape[0] > x.shape[1];
    let y = tf.div<tfjs.Tensor2D>(tall ? tf.transpose(x) : x, tf.add(tf.sqrt(tf.sum(tf.square(x))), epsilon));
    for (let i = 0; i < steps; i++) {
      const square = tf.matMul<tfjs.Tensor2D>(y, y, false, true);
      const series = tf.add(tf.mul(square, b), tf.mul(tf.matMul(square, square), c));
      y = tf.add(tf.mul(y, a), tf.matMul(series as tfjs.Tensor2D, y));
    }
    return tall ? tf.transpose(y) : y;
  }
}
