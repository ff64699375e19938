import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Keepalive, liveness, StandstillWatch } from './liveness.js';
import { clockOf } from './testing/clock.js';

test('a busy link carries no heartbeats', () => {
  expect(liveness({ lastHeardMs: 900, lastSentMs: 900 }, 1000, 200)).toEqual({ dead: false, send: false, wakeAtMs: 1100 });
});

test('an idle link does, once a heartbeat', () => {
  expect(liveness({ lastHeardMs: 900, lastSentMs: 800 }, 1000, 200)).toEqual({ dead: false, send: true, wakeAtMs: 1200 });
});

test('three heartbeats of silence are the end', () => {
  expect(liveness({ lastHeardMs: 400, lastSentMs: 900 }, 999, 200).dead).toBe(false);
  expect(liveness({ lastHeardMs: 400, lastSentMs: 900 }, 1000, 200).dead).toBe(true);
});

test('a live link is looked at again later, and in time to notice silence', () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.nat(10_000), fc.nat(10_000), fc.integer({ min: 1, max: 5000 }), (heard, sent, later, heartbeatMs) => {
      const now = Math.max(heard, sent) + later;
      const { dead, wakeAtMs } = liveness({ lastHeardMs: heard, lastSentMs: sent }, now, heartbeatMs);
      if (!dead) expect(wakeAtMs).toBeGreaterThan(now);
      expect(wakeAtMs).toBeLessThanOrEqual(heard + 3 * heartbeatMs);
    }),
  );
});

/** A process that stands still for a minute the first time that it sleeps; `turn` is what its sockets have for it when it looks at them. */
function stopped(turn: () => void) {
  let nowMs = 0;
  let woken = false;
  return clockOf({
    nowMs: () => nowMs,
    sleep: async (ms) => {
      nowMs += woken ? ms : 60_000;
      if (woken && ms === 0) turn();
      woken = true;
    },
  });
}

test('who stood still hears what came meanwhile before it calls the other end silent', async () => {
  const activity = { lastHeardMs: 0, lastSentMs: 0 };
  const sent: number[] = [];
  const clock = stopped(() => {
    if (sent.length === 0) activity.lastHeardMs = clock.nowMs();
  });
  const heartbeat = () => sent.push((activity.lastSentMs = clock.nowMs()));
  const reason = await new Promise((resolve) => new Keepalive({ activity, heartbeat }, () => 1000, clock, resolve).begin());
  expect(sent).toEqual([60_000, 61_000, 62_000]);
  expect(reason).toBe('silent for 3 heartbeats (3000 ms)');
  expect(clock.nowMs()).toBe(63_000);
});

test('who ends a link while it shows life looks at it no more', () => {
  const set: number[] = [];
  const clock = clockOf({ nowMs: () => 0, sleep: () => expect.unreachable() });
  const timers = { ...clock, timer: () => ({ set: (ms: number) => void set.push(ms), clear: () => undefined }) };
  let beats = 0;
  const watch: Keepalive = new Keepalive({ activity: { lastHeardMs: 0, lastSentMs: -1000 }, heartbeat: () => (beats++, watch.end()) }, () => 1000, timers, expect.unreachable);
  watch.begin();
  expect(beats).toBe(1);
  expect(set).toEqual([]);
});

test('a process that stood still is told how long, once; one that was a little late goes on', () => {
  let nowMs = 0;
  let ring!: () => void;
  const set: number[] = [];
  const timers = { ...clockOf({ nowMs: () => nowMs, sleep: () => expect.unreachable() }), timer: (call: () => void) => ((ring = call), { set: (ms: number) => void set.push(ms), clear: () => undefined }) };
  const stood: number[] = [];
  new StandstillWatch(1000, timers, (ms) => stood.push(ms)).begin();
  nowMs = 3999;
  ring();
  expect({ set, stood }).toEqual({ set: [1000, 1000], stood: [] });
  nowMs += 4000;
  ring();
  expect({ set, stood }).toEqual({ set: [1000, 1000], stood: [3000] });
});
