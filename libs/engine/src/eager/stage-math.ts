import { LongtailError } from '@longtail/core';
import type { HostTensor, LossName } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import { sampleLosses } from '../loss.js';
import { applyBlocks } from '../stage-model.js';
import type { StageModel } from '../stage-model.js';
import type { EagerBackend } from './backend.js';
import { record } from './tape.js';
import type { Tape } from './tape.js';

/** What a stage computes with tensors of a backend, whoever keeps them. */
export class StageMath {
  constructor(
    readonly backend: EagerBackend,
    readonly model: StageModel,
    readonly loss: LossName,
  ) {}

  apply(input: tfjs.Tensor, parameters: readonly tfjs.Tensor[]): tfjs.Tensor {
    return applyBlocks(this.backend, this.model, input, parameters);
  }

  losses(output: tfjs.Tensor, targets: tfjs.Tensor): tfjs.Tensor1D {
    return sampleLosses(this.backend, this.loss, output, targets);
  }

  record(inputs: readonly tfjs.Tensor[], f: () => tfjs.Tensor): Tape {
    return this.explain(() => record(this.backend.tf, inputs, f));
  }

  /** A backend without some operation of the model is for the user to know, not a crash. */
  explain<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const missing = /Kernel '(\w+)' not registered/.exec(String(error))?.[1];
      if (missing === undefined) throw error;
      throw new LongtailError(`engine ${this.backend.info.name} has no operation ${missing}, which the model needs`, { code: 'engine', cause: error, hint: 'Choose another engine.' });
    }
  }

  get targetType(): 'float32' | 'int32' {
    return this.loss === 'cross-entropy' ? 'int32' : 'float32';
  }

  trainable(parameters: readonly tfjs.Tensor[]): tfjs.Tensor[] {
    return parameters.filter((_, i) => this.model.layout.slots[i].trainable);
  }

  /** The array is the caller's. */
  upload({ data, shape }: Pick<HostTensor, 'data' | 'shape'>, dtype: 'float32' | 'int32'): tfjs.Tensor {
    const { tf, copiesUploads = false } = this.backend;
    const Values = dtype === 'float32' ? Float32Array : Int32Array;
    return tf.tensor(copiesUploads && data instanceof Values ? data : new Values(data), [...shape], dtype);
  }

  async download(tensor: tfjs.Tensor | undefined, shape: readonly number[], after: 'keep' | 'free' = 'free'): Promise<HostTensor> {
    const data = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
    if (tensor !== undefined) await this.backend.read(tensor, data);
    if (after === 'free') tensor?.dispose();
    return { dtype: 'float32', shape, data };
  }
}
