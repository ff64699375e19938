import type { ParameterShard } from '@longtail/core';
import type { RunSnapshot } from './ports.js';

/** All that a shard holds. */
export type ShardState = Pick<RunSnapshot, 'parameters' | 'state' | 'steps'>;

/** Where it was when the state was read from it, or another one like it. */
export function fillShard(shard: ParameterShard, { parameters, state, steps }: ShardState): void {
  shard.writeParameters(parameters);
  for (const [index, vector] of state.entries()) shard.writeState(index, vector);
  shard.setSteps(steps);
}
