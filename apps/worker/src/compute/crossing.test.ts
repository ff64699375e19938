import { expect, it } from 'vitest';
import { toCross } from './crossing.js';

const tensor = (data: Float32Array) => ({ dtype: 'float32', shape: [data.length], data }) as const;

it('moves memory that is all the tensor’s, copies a part, and leaves shared memory where it is', () => {
  const whole = tensor(Float32Array.of(1, 2, 3));
  expect(toCross(whole)).toEqual({ tensor: whole, moved: [whole.data.buffer] });
  const part = tensor(Float32Array.of(1, 2, 3).subarray(1));
  const { tensor: copy, moved } = toCross(part);
  expect([...copy.data]).toEqual([2, 3]);
  expect(moved[0]!.byteLength).toBe(8);
  const shared = tensor(new Float32Array(new SharedArrayBuffer(12)));
  expect(toCross(shared)).toEqual({ tensor: shared, moved: [] });
});
