import { createRng } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Line, Trunk } from './fair-share.js';
import { Flow, mathisBitsPerSecond, SEGMENT_BYTES, type WayOptions } from './flow.js';
import { VirtualClock } from './virtual-clock.js';

interface Message {
  readonly atMs: number;
  readonly bytes: number;
}

/** When each message has left, by a flow that has the line for itself, at `rate` bytes/ms. */
async function leave(rate: number, way: Partial<WayOptions>, messages: readonly Message[]) {
  const clock = new VirtualClock();
  let busy = 0;
  const watch = { busy: (_way: string, isBusy: boolean) => (busy += isBusy ? 1 : -1), carried: () => undefined };
  const options = { rttMs: 20, slowStart: false, lossRate: 0, rng: createRng(3), ...way };
  const loadBits = mathisBitsPerSecond(options.lossRate, options.rttMs);
  const flow = new Flow(clock, new Line(new Trunk(clock, Infinity), 8000 * rate, loadBits), options, watch);
  const left = messages.map(({ atMs, bytes }) => new Promise<{ atMs: number; lateMs: number }>((resolve) => {
    clock.at(atMs, () => flow.send({ bytes, left: (lateMs) => clock.at(0, () => resolve({ atMs: clock.nowMs(), lateMs })) }));
  }));
  const times = await clock.runUntil(Promise.all(left));
  expect(busy).toBe(0);
  return { times, flow };
}

/** Segment by segment: ten at first, and two more with each acknowledgement. */
function slowStartMs(segments: number, rate: number, rttMs: number): number {
  const [segmentMs, ends] = [SEGMENT_BYTES / rate, [] as number[]];
  for (let i = 0; i < segments; i++) {
    const allowedMs = i < 10 ? 0 : ends[Math.floor((i - 10) / 2)]! + rttMs;
    ends.push(Math.max(ends[i - 1] ?? 0, allowedMs) + segmentMs);
  }
  return ends.at(-1)!;
}

test('slow start takes what acknowledgements take, in one message or in several', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 50, max: 50_000 }), fc.integer({ min: 1, max: 300 }), fc.nat(399), async (segments, rate, rttMs, cut) => {
      const first = Math.min(cut, segments - 1);
      const parts = [first, segments - first].filter((part) => part > 0).map((part) => ({ atMs: 0, bytes: part * SEGMENT_BYTES }));
      const expected = slowStartMs(segments, rate, rttMs);
      const { times } = await leave(rate, { slowStart: true, rttMs }, parts);
      expect(times.at(-1)!.atMs / expected).toBeCloseTo(1, 9);
    }),
  );
});

test('windows are small again after a pause longer than the timeout, and not after a shorter one', async () => {
  const way = { slowStart: true, rttMs: 50 };
  const [bytes, rate] = [200 * SEGMENT_BYTES, 10_000];
  const once = slowStartMs(200, rate, 50);
  const after = async (pauseMs: number) => {
    const { times } = await leave(rate, way, [{ atMs: 0, bytes }, { atMs: once + pauseMs, bytes }]);
    return times[1]!.atMs - once - pauseMs;
  };
  expect(await after(300)).toBeCloseTo(once, 6);
  expect(await after(200)).toBeLessThan(once / 2);
});

test('one connection in which messages arrive at random is an M/D/1 queue', async () => {
  const [rng, rate, bytes, load] = [createRng(9), 100, 100, 0.6];
  let atMs = 0;
  const messages = Array.from({ length: 20_000 }, () => ({ atMs: (atMs -= (bytes / rate / load) * Math.log(1 - rng.uniform())), bytes }));
  const { times } = await leave(rate, {}, messages);
  const waits = times.map((time, i) => time.atMs - messages[i]!.atMs - bytes / rate);
  const mean = waits.reduce((sum, ms) => sum + ms, 0) / waits.length;
  // Pollaczek & Khinchin: ρ / (2 (1 − ρ)) of a service.
  expect(mean / ((load / (2 * (1 - load))) * (bytes / rate))).toBeCloseTo(1, 1);
});

test('a lossy way carries what Mathis et al. leave to it, and what is lost again: sent = received + lost', async () => {
  const [lossRate, rttMs, rate] = [0.01, 80, 10_000];
  const bytes = 2e8;
  const { times, flow } = await leave(rate, { lossRate, rttMs }, Array.from({ length: 100 }, () => ({ atMs: 0, bytes: bytes / 100 })));
  expect(flow.bytesSent).toBe(bytes + flow.bytesLost);
  expect(flow.bytesLost / flow.bytesSent).toBeCloseTo(lossRate, 3);
  expect(times.at(-1)!.atMs).toBeCloseTo((8000 * flow.bytesSent) / mathisBitsPerSecond(lossRate, rttMs), 6);
});

test('the last segment of a message is lost as often as any, and then waits for the timeout', async () => {
  const { times, flow } = await leave(1000, { lossRate: 0.1 }, Array.from({ length: 2000 }, () => ({ atMs: 0, bytes: SEGMENT_BYTES })));
  const late = times.filter(({ lateMs }) => lateMs > 0);
  expect(new Set(late.map(({ lateMs }) => lateMs))).toEqual(new Set([220]));
  expect(late.length / 2000).toBeCloseTo(0.1, 1);
  expect(flow.bytesLost / flow.bytesSent).toBeCloseTo(0.1, 1);
});
