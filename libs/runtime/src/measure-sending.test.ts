import type { OutgoingTensor } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { measureMessage, measureSending } from './measure-sending.js';
import { clockOf } from './testing/clock.js';

/** A link that takes its time; `stalls` gives a transfer, by number, some more. `windowBytes` are in flight to begin with, and twice as many after each round trip. */
function link(bitsPerSecond: number, roundTripMs: number, stalls: ReadonlyMap<number, number> = new Map(), windowBytes = Infinity, mostBytes = 2 ** 22) {
  let nowMs = 0;
  let sent = 0;
  let sentBytes = 0;
  const openMs = (bytes: number): number => {
    if (bytes <= windowBytes || windowBytes >= (bitsPerSecond * roundTripMs) / 8000) return (8000 * bytes) / bitsPerSecond;
    const left = bytes - windowBytes;
    windowBytes *= 2;
    return roundTripMs + openMs(left);
  };
  const clock = clockOf({
    nowMs: () => nowMs,
    sleep: (_ms, signal) => new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
  });
  const sendTensor = async ({ length }: OutgoingTensor) => {
    nowMs += roundTripMs + openMs(length) + (stalls.get(sent++) ?? 0);
    sentBytes += length;
  };
  const options = { clock, allocate: (bytes: number) => new Uint8Array(bytes), mostBytes, signal: new AbortController().signal };
  return { measure: () => measureSending({ sendTensor }, options), elapsedMs: () => nowMs, sentBytes: () => sentBytes };
}

test('finds rate and round trip of any link, in a second or so and a few round trips', async () => {
  const rate = fc.double({ min: 1e6, max: 1e10, noNaN: true });
  const roundTrip = fc.double({ min: 0.1, max: 150, noNaN: true });
  await fc.assert(
    fc.asyncProperty(rate, roundTrip, async (bitsPerSecond, roundTripMs) => {
      const { measure, elapsedMs } = link(bitsPerSecond, roundTripMs);
      const found = await measure();
      // Next to a long round trip a fast link's transfer is a trifle: it is told apart as far as it matters.
      const blurred = (8000 * 2 ** 22) / bitsPerSecond < 0.2 * roundTripMs;
      if (!blurred) expect(Math.abs(found.bitsPerSecond / bitsPerSecond - 1)).toBeLessThan(0.1);
      expect(found.roundTripMs / (roundTripMs + 8000 / bitsPerSecond)).toBeCloseTo(1, 1);
      expect(elapsedMs()).toBeLessThan(2000 + 15 * roundTripMs);
    }),
  );
});

test('a fast link tells its rate by transfers of 8 MiB, and by larger ones where these are over in a few round trips', async () => {
  const [enough, most] = [2 ** 23, 2 ** 25];
  await fc.assert(
    fc.asyncProperty(fc.double({ min: 7e8, max: 1e11, noNaN: true }), fc.double({ min: 0.01, max: 60, noNaN: true }), async (bitsPerSecond, roundTripMs) => {
      const { measure, sentBytes } = link(bitsPerSecond, roundTripMs, new Map(), Infinity, most);
      const found = await measure();
      const isLong = (8000 * enough) / bitsPerSecond > 4 * roundTripMs;
      if (isLong) {
        expect(Math.abs(found.bitsPerSecond / bitsPerSecond - 1)).toBeLessThan(0.01);
        expect(sentBytes()).toBeLessThan(3 * enough);
      } else if ((8000 * enough) / bitsPerSecond < 2.9 * roundTripMs) expect(sentBytes()).toBeGreaterThan(2.5 * enough);
    }),
    { numRuns: 30 },
  );
});

test('takes a window that has yet to open for no slow link', async () => {
  const rate = fc.double({ min: 1e6, max: 2e8, noNaN: true });
  const roundTrip = fc.double({ min: 1, max: 150, noNaN: true });
  await fc.assert(
    fc.asyncProperty(rate, roundTrip, async (bitsPerSecond, roundTripMs) => {
      const { measure, elapsedMs } = link(bitsPerSecond, roundTripMs, new Map(), 2 ** 16);
      expect(Math.abs((await measure()).bitsPerSecond / bitsPerSecond - 1)).toBeLessThan(0.2);
      expect(elapsedMs()).toBeLessThan(3000 + 15 * roundTripMs);
    }),
  );
});

test('a transfer that took long because somebody was busy is repeated, the first one too', async () => {
  for (const [transfer, stallMs] of [[5, 150], [6, 250], [7, 250], [8, 400]] as const) {
    const { measure } = link(1e8, 12, new Map([[transfer, stallMs]]));
    expect((await measure()).bitsPerSecond / 1e8).toBeCloseTo(1, 1);
  }
});

test('what is sent does not compress to less: no byte is common', async () => {
  const seen = new Uint32Array(256);
  const sendTensor = async ({ chunk, length }: OutgoingTensor) => void chunk(0, Math.min(length, 4096)).forEach((byte) => seen[byte]!++);
  let nowMs = 0;
  const clock = clockOf({ nowMs: () => (nowMs += 60), sleep: () => new Promise<never>(() => undefined) });
  await measureSending({ sendTensor }, { clock, allocate: (bytes) => new Uint8Array(bytes), mostBytes: 2 ** 18, signal: new AbortController().signal });
  const total = seen.reduce((sum, count) => sum + count, 0);
  expect(Math.max(...seen) / total).toBeLessThan(0.02);
});

test('a message after a pause takes what the link asleep takes, its bits aside', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.double({ min: 1e5, max: 1e10, noNaN: true }),
      fc.double({ min: 0, max: 150, noNaN: true }),
      fc.double({ min: 0, max: 9, noNaN: true }),
      async (bitsPerSecond, roundTripMs, wakeMs) => {
        let [nowMs, idleSinceMs] = [0, 0];
        // The limit is never reached.
        const sleep = (ms: number) => (ms >= 1000 ? new Promise<never>(() => undefined) : Promise.resolve(void (nowMs += ms)));
        const clock = clockOf({ nowMs: () => nowMs, sleep });
        const sendTensor = async ({ length }: OutgoingTensor) => {
          if (nowMs > idleSinceMs) nowMs += wakeMs;
          nowMs += roundTripMs + (8000 * length) / bitsPerSecond;
          idleSinceMs = nowMs;
        };
        const options = { clock, allocate: (bytes: number) => new Uint8Array(bytes), signal: new AbortController().signal, received: () => 0 };
        const messageMs = await measureMessage({ sendTensor }, { bitsPerSecond, roundTripMs }, options);
        expect(messageMs).toBeCloseTo(roundTripMs / 2 + wakeMs, 6);
        expect(nowMs).toBeLessThan(10 * (20 + roundTripMs + wakeMs + 6));
      },
    ),
  );
});

test('a message is measured once the other end, which floods the link, is done; or not much later than it should be', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.double({ min: 1e6, max: 1e10, noNaN: true }),
      fc.double({ min: 0, max: 60, noNaN: true }),
      fc.oneof(fc.double({ min: 0, max: 900, noNaN: true }), fc.constant(Infinity)),
      async (bitsPerSecond, roundTripMs, floodMs) => {
        let nowMs = 0;
        const sleep = (ms: number) => (ms >= 1000 ? new Promise<never>(() => undefined) : Promise.resolve(void (nowMs += ms)));
        const clock = clockOf({ nowMs: () => nowMs, sleep });
        const sendTensor = async ({ length }: OutgoingTensor) => {
          nowMs += roundTripMs + (8000 * length) / bitsPerSecond + (nowMs < floodMs ? 30 : 0);
        };
        // In a pause four times what a message has: its chunks, and then messages.
        const received = () => (bitsPerSecond * Math.min(nowMs, floodMs)) / 8000;
        const options = { clock, allocate: (bytes: number) => new Uint8Array(bytes), signal: new AbortController().signal, received };
        const messageMs = await measureMessage({ sendTensor }, { bitsPerSecond, roundTripMs }, options);
        expect(messageMs).toBeCloseTo(roundTripMs / 2 + (floodMs === Infinity ? 30 : 0), 6);
        expect(nowMs).toBeLessThan(1000 + 16 * roundTripMs + 10 * (20 + roundTripMs + 36));
      },
    ),
  );
});
