import type { RunEvent, StoredEvent } from '@longtail/core';
import { expect, test } from 'vitest';
import { accountOfEvents } from './event-account.js';

/** Rounds of 100 ms: `fast` takes part in all of them and computes for half of each, `slow` in every tenth. */
const events = Array.from({ length: 40 }, (_, round) => ['fast', ...(round % 10 === 0 ? ['slow'] : [])].map((name) => [round, name] as const))
  .flat()
  .map(([round, name], seq): StoredEvent => {
    const times = { sentAtMs: 100 * round, computeMs: 50, elapsedMs: 50, doneAtMs: 100 * round + 80, exchange: { receiveMs: 10, sendMs: 20 } };
    return { seq, timeMs: 100 * round + 100, body: { event: 'contribution', name, round, accepted: true, samples: 5, bytesUp: 7, bytesDown: 9, ...times } as unknown as RunEvent };
  });

test('what nodes were at adds up, and is shown of the same few rounds for all of them, waits too', () => {
  const { nodes, spansFromMs, spansToMs } = accountOfEvents(events, ['fast', 'slow'], { startMs: 0, endMs: 4000 });
  const [fast, slow] = nodes;
  expect(fast).toMatchObject({ hereMs: 4000, ms: { compute: 2000, send: 800, receive: 400, wait: 800 }, samples: 200, bytesUp: 280, bytesDown: 360 });
  expect(slow).toMatchObject({ hereMs: 4000, ms: { compute: 200, send: 80, receive: 40, wait: 3680 } });
  expect(spansToMs - spansFromMs).toBeCloseTo((4 * 2 * 4000) / 44);
  for (const { spans } of nodes) {
    expect([spans[0]!.fromMs, spans.at(-1)!.toMs]).toEqual([spansFromMs, spansToMs]);
    spans.slice(1).forEach(({ fromMs }, i) => expect(fromMs).toBe(spans[i]!.toMs));
  }
});
