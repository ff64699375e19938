import { createRng, layOut, type BatchStats, type ParameterLayout, type Split } from '@longtail/core';
import type { VirtualBlocks } from './blocks.js';

/** A gradient that is computed while virtual time passes, beside whatever else does. */
export interface BegunGradient {
  /** Leaves the gradient sum over the samples in `out`, once it is there. Those that are taken are there in the order in which they are taken. Rejects with what its arithmetic failed with. */
  take(out: Float32Array): Promise<BatchStats>;
  /** Nobody wants it any more, if that rejects. */
  dropUnless(passed: Promise<unknown>): void;
}

/** A model and its data as a virtual device computes with them. May answer at once or with a promise (a real engine). */
export interface VirtualModel {
  readonly layout: ParameterLayout;
  readonly trainSamples: number;
  readonly validationSamples: number;
  /** Which samples they are makes no difference to it. @default false */
  readonly ignoresSamples?: boolean;
  /** For models that stages of a pipeline may share; undefined: only whole. */
  readonly blocks?: VirtualBlocks;
  initial(seed: number): Float32Array;
  /** Leaves the gradient sum over the samples in `out`. Parameters `of` the same object are the same; undefined: nobody knows. */
  gradient(parameters: Float32Array, samples: Int32Array, out: Float32Array, of?: object): BatchStats | Promise<BatchStats>;
  /**
   * Begins what `gradient` does, beside the caller: neither parameters nor samples may change before it is taken or dropped. Undefined: there is no processor for
   * it, so it is to be computed once it is wanted. @default always that
   */
  beginGradient?(parameters: Float32Array, samples: () => Int32Array, of?: object): BegunGradient | undefined;
  evaluate(parameters: Float32Array, split: Split, start: number, end: number, of?: object): BatchStats | Promise<BatchStats>;
}

export interface SoftmaxRegressionOptions {
  readonly features: number;
  readonly classes: number;
  readonly trainSamples: number;
  readonly validationSamples: number;
  readonly seed: number;
}

/** Multinomial logistic regression on Gaussian clusters: a model that learns something in microseconds. */
export function softmaxRegression(options: SoftmaxRegressionOptions): VirtualModel {
  const { features, classes, trainSamples, validationSamples, seed } = options;
  const data = clusters(options);
  const layout = layOut([
    { name: 'kernel', shape: [features, classes] },
    { name: 'bias', shape: [classes] },
  ]);
  const visit = (parameters: Float32Array, sample: number, out: Float32Array | undefined) =>
    visitSample(data, features, classes, parameters, sample, out);
  return {
    layout,
    trainSamples,
    validationSamples,
    initial(jobSeed) {
      const rng = createRng(`${seed}/${jobSeed}`);
      return Float32Array.from({ length: layout.length }, () => 0.1 * rng.normal());
    },
    gradient(parameters, samples, out) {
      // float64 within a task: rounding then does not depend on how the batch was split.
      const sum = new Float64Array(layout.length);
      const one = new Float32Array(layout.length);
      const stats = { samples: samples.length, targets: samples.length, lossSum: 0, correct: 0 };
      for (const sample of samples) {
        one.fill(0);
        const { loss, right } = visit(parameters, sample, one);
        for (let i = 0; i < one.length; i++) sum[i] = sum[i]! + one[i]!;
        stats.lossSum += loss;
        stats.correct += right;
      }
      out.set(sum);
      return stats;
    },
    evaluate(parameters, split, start, end) {
      const stats = { samples: end - start, targets: end - start, lossSum: 0, correct: 0 };
      for (let i = start; i < end; i++) {
        const { loss, right } = visit(parameters, split === 'train' ? i : trainSamples + i, undefined);
        stats.lossSum += loss;
        stats.correct += right;
      }
      return stats;
    },
  };
}

interface Clusters {
  readonly inputs: Float32Array;
  readonly labels: Uint8Array;
}

function clusters({ features, classes, trainSamples, validationSamples, seed }: SoftmaxRegressionOptions): Clusters {
  const rng = createRng(seed);
  const centres = Float32Array.from({ length: features * classes }, () => rng.normal());
  const count = trainSamples + validationSamples;
  const labels = Uint8Array.from({ length: count }, () => rng.below(classes));
  const inputs = new Float32Array(count * features);
  for (let sample = 0; sample < count; sample++) {
    for (let i = 0; i < features; i++) inputs[sample * features + i] = centres[labels[sample]! * features + i]! + rng.normal();
  }
  return { inputs, labels };
}

/** Loss of one sample; with `out`, also its gradient. Kernel [features, classes], then bias. */
function visitSample(
  data: Clusters,
  features: number,
  classes: number,
  parameters: Float32Array,
  sample: number,
  out: Float32Array | undefined,
) {
  const input = data.inputs.subarray(sample * features, (sample + 1) * features);
  const label = data.labels[sample]!;
  const logits = new Float64Array(classes);
  for (let c = 0; c < classes; c++) {
    let logit = parameters[features * classes + c]!;
    for (let i = 0; i < features; i++) logit += input[i]! * parameters[i * classes + c]!;
    logits[c] = logit;
  }
  const best = logits.indexOf(Math.max(...logits));
  const highest = logits[best] ?? Number.NaN;
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0);
  if (out !== undefined) {
    for (let c = 0; c < classes; c++) {
      const error = Math.exp(logits[c]! - highest) / total - (c === label ? 1 : 0);
      for (let i = 0; i < features; i++) out[i * classes + c] = error * input[i]!;
      out[features * classes + c] = error;
    }
  }
  return { loss: Math.log(total) + highest - logits[label]!, right: best === label ? 1 : 0 };
}
