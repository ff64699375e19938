import { elementCount, LongtailError } from '@longtail/core';
import type { HostTensor } from '@longtail/core';
import { DataType } from './graph-def.js';
import { NativeTensor } from './native-tensor.js';
import type { Binding } from './native-tensor.js';
import type { TensorType } from './traced-model.js';

/**
 * A host tensor as TensorFlow's, padded to `samples` with copies of its first sample. May alias the host tensor until it
 * is disposed of.
 */
export function upload(binding: Binding, { data, shape }: HostTensor, type: TensorType, samples: number): NativeTensor {
  const [present, ...sampleShape] = shape;
  const values = padded(type === 'float32' ? asFloat32(data) : asInt32(data), present, samples, 'first');
  return NativeTensor.from(binding, type === 'float32' ? DataType.float : DataType.int32, [samples, ...sampleShape], values);
}

/** `present` samples' values filled up to `samples`: with zeros, or with the first sample, which is finite where all are. */
export function padded<Values extends Float32Array | Int32Array>(
  values: Values,
  present: number,
  samples: number,
  filling: 'zeros' | 'first',
): Values {
  if (present === samples) return values;
  const perSample = values.length / present;
  const result = new (values.constructor as new (length: number) => Values)(samples * perSample);
  result.set(values);
  if (filling === 'first') for (let i = present; i < samples; i++) result.set(values.subarray(0, perSample), i * perSample);
  return result;
}

/** @throws LongtailError `invalid-data`: the samples have another shape than the stage takes. */
export function checkShape(what: string, { data, shape }: HostTensor, sampleShape: readonly number[]): void {
  const given = shape.slice(1);
  if (given.join() === sampleShape.join() && data.length === elementCount(shape) && shape[0] > 0) return;
  throw new LongtailError(`${what}: ${shape[0]} samples of shape [${given.join()}], where the model takes [${sampleShape.join()}]`, {
    code: 'invalid-data',
    hint: 'Choose a model that fits the data set.',
  });
}

function asFloat32(data: HostTensor['data']): Float32Array {
  return data instanceof Float32Array ? data : Float32Array.from(data);
}

function asInt32(data: HostTensor['data']): Int32Array {
  return data instanceof Int32Array ? data : Int32Array.from(data);
}
