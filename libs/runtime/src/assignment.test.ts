import { LongtailError } from '@longtail/core';
import type { Task } from '@longtail/protocol';
import { expect, test } from 'vitest';
import { Assignment } from './assignment.js';
import type { Delivery } from './delivery.js';
import type { Member } from './member.js';

test.each([
  ['diverged', true],
  ['engine', false],
] as const)('a pass that failed with %s is the sign of a run that diverges: %s', (code, nonFinite) => {
  const open = new Assignment({} as Member, {} as Task, 8, {} as Delivery, true, 0);
  open.fail(new LongtailError('the activation that leaves blocks 1 to 2 is not finite', { code }), 5);
  expect(open).toMatchObject({ status: 'failed', nonFinite, endedAtMs: 5, reason: 'the activation that leaves blocks 1 to 2 is not finite' });
});
