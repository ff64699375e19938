import { getPriority } from 'node:os';
import { expect, it } from 'vitest';
import { lengthenTimeSlice } from './time-slice.js';

it('asks Linux for a longer slice, and leaves the priority as it is', () => {
  const before = getPriority();
  const known = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch);
  expect(lengthenTimeSlice()).toBe(known);
  expect(getPriority()).toBe(before);
});
