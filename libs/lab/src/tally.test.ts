import type { RunEvent, StoredEvent } from '@longtail/core';
import { expect, test } from 'vitest';
import { Tally } from './tally.js';

test('what is returned of a contribution that was accepted was never begun: it is not lost', () => {
  const tally = new Tally();
  const contribution = (accepted: boolean) => ({ event: 'contribution', accepted, samples: 30, staleness: 0, computeMs: 1, elapsedMs: 1, bytesUp: 0, bytesDown: 0 });
  const returned = (samples: number) => ({ event: 'lease_returned', samples });
  const bodies = [contribution(true), returned(10), contribution(false), returned(40), contribution(true), { event: 'samples_lost', samples: 5 }];
  bodies.forEach((body, seq) => tally.hear({ seq, timeMs: seq, body: body as unknown as RunEvent } satisfies StoredEvent));
  expect(tally.lostSamples).toBe(45);
});
