import type { ParameterSlot, VectorRange } from '@longtail/core';

/** The slot's values of a flat vector with zeros for those outside of the range: a view where there are none. */
export function slotValues(flat: Float32Array, { offset, length }: ParameterSlot, within: VectorRange): Float32Array {
  const begin = Math.max(offset, within.start);
  const end = Math.min(offset + length, within.start + within.length);
  if (end - begin === length) return flat.subarray(begin, end);
  const values = new Float32Array(length);
  values.set(flat.subarray(begin, end), begin - offset);
  return values;
}
