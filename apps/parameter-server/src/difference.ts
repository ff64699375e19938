import type { ParameterLayout, ParameterShard, StateVector } from '@longtail/core';

/** How a vector that was kept differs from the one that was computed again. */
export interface Difference {
  /** The first tensor that differs, or `state 0` for what the optimizer keeps of all of them. */
  readonly tensor: string;
  /** In the tensor. */
  readonly index: number;
  readonly kept: number;
  readonly replayed: number;
  /** That differ in all, and by how much at most. */
  readonly values: number;
  readonly most: number;
}

/** A model has parameters only. */
export interface KeptShard {
  readonly parameters: Float32Array;
  readonly state?: readonly StateVector[];
}

/** Bit by bit; undefined: they are the same. */
export function differenceOf(shard: ParameterShard, kept: KeptShard, layout: ParameterLayout): Difference | undefined {
  const replayed = new Float32Array(shard.length);
  shard.readParameters(replayed);
  const found = compare(kept.parameters, replayed);
  if (found !== undefined) {
    const slot = layout.slots.find(({ offset, length }) => found.index >= offset && found.index < offset + length)!;
    return { ...found, tensor: slot.name, index: found.index - slot.offset };
  }
  for (const [number, vector] of (kept.state ?? []).entries()) {
    const own = vector.slice();
    shard.readState(number, own);
    const other = compare(vector, own);
    if (other !== undefined) return { ...other, tensor: `state ${number}` };
  }
  return undefined;
}

function compare(kept: StateVector, replayed: StateVector): Omit<Difference, 'tensor'> | undefined {
  let first = -1;
  let values = 0;
  let most = 0;
  for (let i = 0; i < replayed.length; i++) {
    if (Object.is(kept[i], replayed[i])) continue;
    if (first < 0) first = i;
    values++;
    most = Math.max(most, Math.abs(kept[i]! - replayed[i]!));
  }
  return first < 0 ? undefined : { index: first, kept: kept[first]!, replayed: replayed[first]!, values, most };
}
