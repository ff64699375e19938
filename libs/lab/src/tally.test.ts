import type { RunEvent, StoredEvent } from '@longtail/core';
import { expect, test } from 'vitest';
import { Tally } from './tally.js';

test('what is returned of a contribution that was accepted was never begun: it is not lost', () => {
  const tally = new Tally();
  const contribution = (accepted: boolean) => ({ event: 'contribution', accepted, samples: 30, staleness: 0, computeMs: 1, elapsedMs: 1, bytesUp: 0, bytesDown: 0 });
  const returned = (samples: number, reason = 'it left') => ({ event: 'lease_returned', samples, reason });
  const bodies = [contribution(true), returned(10), contribution(false), returned(40), contribution(true), { event: 'samples_lost', samples: 5, reason: 'it left' }];
  bodies.forEach((body, seq) => tally.hear({ seq, timeMs: seq, body: body as unknown as RunEvent } satisfies StoredEvent));
  expect(tally.lostSamples).toBe(45);
});

test('why most was lost is told by its reason, whichever round it was in', () => {
  const tally = new Tally();
  expect(tally.lostMostlyBy).toBeUndefined();
  const returned = (samples: number, reason: string) => ({ event: 'lease_returned', samples, reason });
  const bodies = [returned(30, 'it left'), returned(20, 'missed the deadline of 300 ms of round 7'), returned(20, 'missed the deadline of 280 ms of round 12')];
  bodies.forEach((body, seq) => tally.hear({ seq, timeMs: seq, body: body as unknown as RunEvent } satisfies StoredEvent));
  expect(tally.lostMostlyBy).toBe('missed the deadline');
});
