import { createRng, elementCount } from '@longtail/core';
import type { DataSignature, HostTensor } from '@longtail/core';

/** Standard normal values: zeros would be faster to compute with on some devices. */
export function randomTensor(shape: readonly number[]): HostTensor {
  const rng = createRng('random tensor');
  return { dtype: 'float32', shape, data: Float32Array.from({ length: elementCount(shape) }, () => rng.normal()) };
}

/** Samples that a data set of this signature could hold. */
export function randomInputs({ inputShape, inputType, classes }: DataSignature, samples: number): HostTensor {
  const shape = [samples, ...inputShape];
  return inputType === 'int32' ? randomLabels(shape, classes ?? 1) : randomTensor(shape);
}

export function randomTargets({ targetShape, targetType, classes }: DataSignature, samples: number): HostTensor {
  const shape = [samples, ...targetShape];
  return targetType === 'int32' ? randomLabels(shape, classes ?? 1) : randomTensor(shape);
}

function randomLabels(shape: readonly number[], classes: number): HostTensor {
  const rng = createRng('random labels');
  return { dtype: 'int32', shape, data: Int32Array.from({ length: elementCount(shape) }, () => rng.below(classes)) };
}
