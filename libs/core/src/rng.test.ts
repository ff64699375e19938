import { expect, test } from 'vitest';
import { createRng } from './rng.js';

test('equal seeds give equal sequences, other seeds and forks give others', () => {
  const draw = (rng: ReturnType<typeof createRng>) => Array.from({ length: 8 }, () => rng.uint32());
  expect(draw(createRng(7))).toEqual(draw(createRng(7)));
  expect(draw(createRng(7))).not.toEqual(draw(createRng(8)));
  expect(draw(createRng(7).fork('a'))).not.toEqual(draw(createRng(7).fork('b')));
});

test('a fork does not advance its parent', () => {
  const forked = createRng('x');
  forked.fork('a');
  expect(forked.uint32()).toBe(createRng('x').uint32());
});

test('uniform and normal have the moments they should', () => {
  const rng = createRng(3);
  const n = 20_000;
  let mean = 0;
  let normalMean = 0;
  let normalSquare = 0;
  for (let i = 0; i < n; i++) {
    mean += rng.uniform() / n;
    const z = rng.normal();
    normalMean += z / n;
    normalSquare += (z * z) / n;
  }
  expect(Math.abs(mean - 0.5)).toBeLessThan(0.01);
  expect(Math.abs(normalMean)).toBeLessThan(0.03);
  expect(Math.abs(normalSquare - 1)).toBeLessThan(0.04);
});
