import type { OptimizerSpec, ParameterLayout, ParameterShard, TopKSpec } from '@longtail/core';
import { createShard } from '@longtail/kernels';

/** Zeros. Frozen slots are never moved. */
export function composeShard({ length, slots }: ParameterLayout, optimizer: OptimizerSpec, differences?: TopKSpec): ParameterShard {
  return createShard({ length, optimizer, differences, frozen: slots.filter(({ trainable }) => !trainable) });
}
