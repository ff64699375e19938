import { clippedDivisor, sumOfSquares, type BatchStats, type LocalStepsRequest } from '@longtail/core';
import type { CountedOptimizer } from '@longtail/kernels';
import { countSamples } from './held-model.js';
import type { HeldWhole } from './held-whole.js';
import type { VirtualDevice } from './virtual-device.js';

/** Optimizer steps of a device with the whole model: all of those that it is asked for at a time, or none. */
export class LocalSteps {
  private readonly optimizer: CountedOptimizer;
  /** Of a step. */
  private readonly gradient: Float32Array;
  /** What they begin with, for when they are called off: parameters, moments and the number of steps. */
  private readonly before: readonly Float32Array[];
  private stepsBefore = 0;

  constructor(
    private readonly whole: HeldWhole,
    private readonly device: VirtualDevice,
  ) {
    this.optimizer = whole.optimizer;
    this.gradient = new Float32Array(whole.parameters.length);
    this.before = this.vectors.map(({ length }) => new Float32Array(length));
  }

  /** On parameters that are the device's own. */
  async run(request: LocalStepsRequest, onStep: (done: number, stats: BatchStats) => void, signal: AbortSignal) {
    this.keep();
    try {
      const result = await this.stepThrough(request, onStep, signal);
      this.leave(request.result);
      return result;
    } catch (error) {
      this.restore();
      throw error;
    }
  }

  private async stepThrough({ batches, stop }: Pick<LocalStepsRequest, 'batches' | 'stop'>, onStep: (done: number, stats: BatchStats) => void, signal: AbortSignal) {
    const { whole, device, gradient } = this;
    const total = { samples: 0, targets: 0, lossSum: 0, correct: 0, computeMs: 0, steps: 0 };
    for (const { ranges, hyper } of batches) {
      if (stop.aborted) break;
      const begun = whole.beginGradient(ranges);
      const passed = device.pass(countSamples(ranges), 1, signal);
      begun?.dropUnless(passed);
      total.computeMs += await passed;
      const stats = await whole.gradientOf(ranges, gradient, begun);
      const divisor = clippedDivisor(() => sumOfSquares(gradient), stats.samples, whole.job.train.clipNorm);
      this.optimizer.step(whole.parameters, gradient, hyper, 1 / divisor);
      whole.changed();
      for (const key of ['samples', 'targets', 'lossSum', 'correct'] as const) total[key] += stats[key];
      total.steps++;
      onStep(total.steps, total);
    }
    return total;
  }

  private leave(result: LocalStepsRequest['result']): void {
    const { parameters, state } = this.whole.prepared;
    if (result === 'move') this.whole.leaveMove();
    if (result !== 'parameters') return;
    parameters.set(this.whole.parameters);
    for (const [i, vector] of this.optimizer.state().entries()) state[i]!.set(vector);
  }

  private keep(): void {
    for (const [i, vector] of this.vectors.entries()) this.before[i]!.set(vector);
    this.stepsBefore = this.optimizer.steps;
  }

  private restore(): void {
    for (const [i, vector] of this.vectors.entries()) vector.set(this.before[i]!);
    this.whole.changed();
    this.optimizer.setSteps(this.stepsBefore);
  }

  private get vectors(): readonly Float32Array[] {
    return [this.whole.parameters, ...this.optimizer.state()];
  }
}
