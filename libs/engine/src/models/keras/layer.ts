import type * as tf from '@tensorflow/tfjs';
import type { BlockContext, ParameterSpec } from '../../block.js';
import { ACTIVATIONS } from './activations.js';
import { kerasError } from './topology.js';
import type { KerasNode } from './topology.js';

/** A Keras layer for known input shapes (without the batch dimension). */
export interface KerasLayer {
  readonly parameters: readonly ParameterSpec[];
  readonly outputShape: readonly number[];
  apply(context: BlockContext, inputs: readonly tf.Tensor[], parameters: readonly tf.Tensor[]): tf.Tensor;
}

/** A layer's config with errors that name the layer, its class and the file. */
export class LayerReader {
  constructor(
    readonly path: string,
    readonly node: KerasNode,
    readonly inputShapes: readonly (readonly number[])[],
  ) {}

  get inputShape(): readonly number[] {
    return this.inputShapes[0];
  }

  fail(message: string, hint?: string): Error {
    return kerasError(this.path, `layer ${this.node.name} (${this.node.className}): ${message}`, hint);
  }

  /** Input of a given rank, batch not counted. */
  shapeOfRank(rank: number): readonly number[] {
    if (this.inputShape.length !== rank) throw this.fail(`it takes ${rank} dimensions a sample, its input is [${this.inputShape.join(', ')}]`);
    return this.inputShape;
  }

  get<T>(key: string, otherwise: T): T {
    return (this.node.config[key] ?? otherwise) as T;
  }

  number(key: string, otherwise?: number): number {
    const value = this.node.config[key] ?? otherwise;
    if (typeof value !== 'number') throw this.fail(`its config has no number ${key}`);
    return value;
  }

  /** `[2, 2]`, or `2` for both. */
  pair(key: string, otherwise: number): readonly [number, number] {
    const value = this.get<number | readonly number[]>(key, otherwise);
    return typeof value === 'number' ? [value, value] : [value[0], value[1] ?? value[0]];
  }

  padding(): 'same' | 'valid' {
    const padding = this.get<string>('padding', 'valid');
    if (padding !== 'same' && padding !== 'valid') throw this.fail(`padding ${padding} is not supported`, 'Use same or valid.');
    return padding;
  }

  channelsLast(): void {
    if (this.get<string>('data_format', 'channels_last') === 'channels_first') throw this.fail('data_format channels_first is not supported', 'Export with channels_last.');
  }

  activation(key = 'activation', otherwise = 'linear'): (context: BlockContext, x: tf.Tensor) => tf.Tensor {
    const named = this.get<string | { class_name?: string; config?: unknown }>(key, otherwise);
    const name = typeof named === 'string' ? named : typeof named.config === 'string' ? named.config : String(named.class_name).toLowerCase();
    const activation = ACTIVATIONS[name];
    if (activation === undefined) throw this.fail(`activation ${name} is not supported`, `Known: ${Object.keys(ACTIVATIONS).join(', ')}.`);
    return activation;
  }
}

/** A layer without parameters. */
export function plain(outputShape: readonly number[], apply: (context: BlockContext, inputs: readonly tf.Tensor[]) => tf.Tensor): KerasLayer {
  return { parameters: [], outputShape, apply };
}
