import { createRng, layOut, type BlockRange, type HostTensor, type ParameterLayout } from '@longtail/core';
import { modelOfBlocks, type VirtualBlocks, type VirtualPass } from './blocks.js';
import type { VirtualModel } from './model.js';

export interface ChainOptions {
  /** Inputs, and classes: the last block predicts with the first one's kernel. */
  readonly features: number;
  readonly width: number;
  /** At least 2. */
  readonly blocks: number;
  readonly trainSamples: number;
  readonly validationSamples: number;
  readonly seed: number;
}

/**
 * A chain of dense layers, a block each: x·E, then h + tanh(h·W + b), at last h·Eᵀ + b with the kernel E of the first block
 * (tied as token embeddings are), under cross-entropy. Arithmetic in float64, what crosses a border in float32.
 */
export function chain(options: ChainOptions): VirtualModel {
  return modelOfBlocks(new Chain(options), options.trainSamples, options.validationSamples);
}

const TIED = 'block0.kernel';

class Chain implements VirtualBlocks<VirtualPass> {
  readonly count: number;
  private readonly inputs: Float32Array;
  private readonly labels: Int32Array;

  constructor(private readonly options: ChainOptions) {
    const { blocks, features, trainSamples, validationSamples, seed } = options;
    this.count = blocks;
    const rng = createRng(seed);
    const samples = trainSamples + validationSamples;
    const centres = Float32Array.from({ length: features * features }, () => rng.normal());
    this.labels = Int32Array.from({ length: samples }, () => rng.below(features));
    this.inputs = Float32Array.from({ length: samples * features }, (_, i) => {
      const label = this.labels[Math.floor(i / features)]!;
      return centres[label * features + (i % features)]! + 0.5 * rng.normal();
    });
  }

  layout({ start, end }: BlockRange): ParameterLayout {
    const tensors = Array.from({ length: end - start }, (_, i) => this.tensorsOf(start + i)).flat();
    const last = end === this.count;
    if (last && start > 0) tensors.push({ name: TIED, shape: [this.options.features, this.options.width] });
    return layOut(tensors);
  }

  initial(blocks: BlockRange, seed: number): Float32Array {
    const { slots, length } = this.layout(blocks);
    const values = new Float32Array(length);
    for (const { name, shape, offset, length: count } of slots) {
      const rng = createRng(`${this.options.seed}/${seed}/${name}`);
      const scale = name.endsWith('bias') ? 0.1 : 1 / Math.sqrt(shape[0]!);
      for (let i = 0; i < count; i++) values[offset + i] = scale * rng.normal();
    }
    return values;
  }

  forward(blocks: BlockRange, parameters: Float32Array, samples: Int32Array, input: HostTensor | undefined): VirtualPass {
    const { features, width } = this.options;
    const offsets = new Map(this.layout(blocks).slots.map(({ name, offset }) => [name, offset]));
    const at = (name: string) => offsets.get(name)!;
    const backwards: ((gradient: Float64Array, out: Float32Array | undefined) => Float64Array)[] = [];
    const count = samples.length;
    const stats = { samples: count, targets: count, lossSum: 0, correct: 0 };
    let h = Float64Array.from(input === undefined ? this.gather(samples) : (input.data as Float32Array));
    for (let block = blocks.start; block < blocks.end; block++) {
      const x = h;
      if (block === 0) {
        h = product(x, parameters, at(TIED), count, features, width);
        backwards.push((g, out) => (outer(x, g, out, at(TIED), count, features, width), g));
      } else if (block < this.count - 1) {
        const [kernel, bias] = [at(`block${block}.kernel`), at(`block${block}.bias`)];
        const t = addRow(product(x, parameters, kernel, count, width, width), parameters, bias, count, width).map(Math.tanh);
        h = x.map((value, i) => value + t[i]!);
        backwards.push((g, out) => {
          const d = g.map((value, i) => value * (1 - t[i]! * t[i]!));
          outer(x, d, out, kernel, count, width, width);
          addRows(d, out, bias, count, width);
          const through = productTransposed(d, parameters, kernel, count, width, width);
          return g.map((value, i) => value + through[i]!);
        });
      } else {
        const [kernel, bias] = [at(TIED), at(`block${block}.bias`)];
        const logits = addRow(productTransposed(x, parameters, kernel, count, features, width), parameters, bias, count, features);
        const errors = this.crossEntropy(logits, samples, stats);
        backwards.push((_, out) => {
          outer(errors, x, out, kernel, count, features, width);
          addRows(errors, out, bias, count, features);
          return product(errors, parameters, kernel, count, features, width);
        });
      }
    }
    const last = blocks.end === this.count;
    return {
      output: last ? undefined : hostTensor(h, count, width),
      stats: last ? stats : undefined,
      backward(outputGradient, out) {
        let gradient = Float64Array.from((outputGradient?.data as Float32Array | undefined) ?? []);
        for (const step of [...backwards].reverse()) gradient = step(gradient, out) as Float64Array<ArrayBuffer>;
        return blocks.start === 0 ? undefined : hostTensor(gradient, count, width);
      },
    };
  }

  private tensorsOf(block: number): { name: string; shape: readonly number[] }[] {
    const { features, width } = this.options;
    const kernel = { name: `block${block}.kernel`, shape: block === 0 ? [features, width] : [width, width] };
    const bias = { name: `block${block}.bias`, shape: [block === this.count - 1 ? features : width] };
    if (block === 0) return [kernel];
    return block === this.count - 1 ? [bias] : [kernel, bias];
  }

  private gather(samples: Int32Array): Float32Array {
    const { features } = this.options;
    const batch = new Float32Array(samples.length * features);
    for (const [i, sample] of samples.entries()) batch.set(this.inputs.subarray(sample * features, (sample + 1) * features), i * features);
    return batch;
  }

  /** Gradient of the loss by the logits; adds to `stats`. */
  private crossEntropy(logits: Float64Array, samples: Int32Array, stats: { lossSum: number; correct: number }): Float64Array {
    const { features } = this.options;
    const errors = new Float64Array(logits.length);
    for (const [i, sample] of samples.entries()) {
      const row = logits.subarray(i * features, (i + 1) * features);
      const highest = Math.max(...row);
      const total = row.reduce((sum, logit) => sum + Math.exp(logit - highest), 0);
      const label = this.labels[sample]!;
      stats.lossSum += Math.log(total) + highest - row[label]!;
      stats.correct += row.indexOf(highest) === label ? 1 : 0;
      for (let c = 0; c < features; c++) errors[i * features + c] = Math.exp(row[c]! - highest) / total - (c === label ? 1 : 0);
    }
    return errors;
  }
}

function hostTensor(values: Float64Array, rows: number, columns: number): HostTensor {
  return { dtype: 'float32', shape: [rows, columns], data: Float32Array.from(values) };
}

/** x [n, a] · K [a, b]. */
function product(x: Float64Array, parameters: Float32Array, kernel: number, n: number, a: number, b: number): Float64Array<ArrayBuffer> {
  const y = new Float64Array(n * b);
  for (let r = 0; r < n; r++)
    for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) y[r * b + j]! += x[r * a + i]! * parameters[kernel + i * b + j]!;
  return y;
}

/** x [n, b] · Kᵀ, K [a, b]. */
function productTransposed(x: Float64Array, parameters: Float32Array, kernel: number, n: number, a: number, b: number): Float64Array<ArrayBuffer> {
  const y = new Float64Array(n * a);
  for (let r = 0; r < n; r++)
    for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) y[r * a + i]! += x[r * b + j]! * parameters[kernel + i * b + j]!;
  return y;
}

/** out[kernel] += xᵀ · g, x [n, a], g [n, b]. */
function outer(x: Float64Array, g: Float64Array, out: Float32Array | undefined, kernel: number, n: number, a: number, b: number): void {
  if (out === undefined) return;
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) {
      let sum = 0;
      for (let r = 0; r < n; r++) sum += x[r * a + i]! * g[r * b + j]!;
      out[kernel + i * b + j]! += sum;
    }
  }
}

function addRow(x: Float64Array<ArrayBuffer>, parameters: Float32Array, bias: number, n: number, columns: number): Float64Array<ArrayBuffer> {
  for (let r = 0; r < n; r++) for (let j = 0; j < columns; j++) x[r * columns + j]! += parameters[bias + j]!;
  return x;
}

/** out[bias] += Σ over rows of g. */
function addRows(g: Float64Array, out: Float32Array | undefined, bias: number, n: number, columns: number): void {
  if (out === undefined) return;
  for (let j = 0; j < columns; j++) {
    let sum = 0;
    for (let r = 0; r < n; r++) sum += g[r * columns + j]!;
    out[bias + j]! += sum;
  }
}
