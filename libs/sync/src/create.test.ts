import type { Job } from '@longtail/core';
import { expect, test } from 'vitest';
import { createStrategy } from './create.js';

const sync: Job['sync'] = { strategy: 'bsp', deadlineFactor: 3, minDeadlineMs: 100, codec: 'fp32', maxNorm: undefined };
const one = [{ node: 'a', stepMs: 10, exchangeMs: 1 }];

test.each(['bsp', 'ssp', 'asp'] as const)('%s: the server steps, unless the job wants local steps', (strategy) => {
  expect(createStrategy({ ...sync, strategy })).toMatchObject({ name: strategy, localSteps: undefined });
  if (strategy !== 'bsp') expect(createStrategy({ ...sync, strategy, localSteps: 20 }).localSteps!(one).steps.get('a')).toBe(20);
});

test('diloco always steps locally', () => {
  expect(createStrategy({ ...sync, strategy: 'diloco' }).localSteps!(one).steps.get('a')).toBe(50);
  expect(createStrategy({ ...sync, strategy: 'diloco', localSteps: 1 }).localSteps!(one).steps.get('a')).toBe(1);
});
