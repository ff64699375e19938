import { expect, test } from 'vitest';
import { LeastRecentlyUsed } from './least-recently-used.js';

test('keeps what was used last and frees the rest', () => {
  const freed: string[] = [];
  const cache = new LeastRecentlyUsed<string>(2, (value) => freed.push(value));
  const get = (key: string): string => cache.get(key, () => key.toUpperCase());
  expect([get('a'), get('b'), get('a'), get('c')]).toEqual(['A', 'B', 'A', 'C']);
  expect(freed).toEqual(['B']);
  expect([cache.has('a'), cache.has('b')]).toEqual([true, false]);
  cache.clear();
  expect(freed).toEqual(['B', 'A', 'C']);
  expect(cache.has('a')).toBe(false);
});
