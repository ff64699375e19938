import { expect, test } from 'vitest';
import { LentVectors } from './lent-vectors.js';

test('a result that is held stays as it is; memory is used again once nobody holds it', () => {
  const results = new LentVectors(() => new Float32Array(3));
  const first = results.next();
  expect(results.next()).toBe(first);
  const { current } = results;
  current.hold();
  const second = results.next();
  expect(second).not.toBe(first);
  expect(results.current.values).toBe(second);
  results.current.hold();
  current.release();
  expect(results.next()).toBe(first);
});

test('what is never given back is forgotten', () => {
  const results = new LentVectors(() => new Float32Array(1));
  const seen = Array.from({ length: 9 }, () => {
    const values = results.next();
    results.current.hold();
    return values;
  });
  expect(new Set(seen).size).toBe(9);
  results.current.release();
  expect(results.next()).toBe(seen[8]);
});
