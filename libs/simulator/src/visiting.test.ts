import { createRng } from '@longtail/core';
import { createServer, visitorsHello, visitServer, type ServerDependencies } from '@longtail/runtime';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VirtualClock } from './virtual-clock.js';
import { HEADER_BYTES, VirtualNetwork } from './virtual-network.js';

const signal = new AbortController().signal;
const welcome = { node: 'n', heartbeatMs: 2000, protocol: 1, tensorPort: 0, tensorKey: '', tensorCurveKey: '', epoch: 1, incarnation: 's' };

function visit(upBitsPerSecond: number, downBitsPerSecond: number, rttMs: number) {
  const clock = new VirtualClock();
  const wide = 1e12;
  const network = new VirtualNetwork({ clock, serverUpBitsPerSecond: wide, serverDownBitsPerSecond: wide, rng: createRng(1), crc32c: () => 0 });
  const server = createServer({ clock, rng: createRng(1), codecs: [] } as unknown as ServerDependencies);
  const link = network.connect('visitor', { upBitsPerSecond, downBitsPerSecond, rttMs });
  server.onSession(link.server, visitorsHello('visitor', 'i'));
  return { clock, server, link, measured: visitServer(link.worker, welcome, { clock, signal }) };
}

test('whoever comes to measure the link finds what it is, each way, and is gone', async () => {
  const rate = fc.double({ min: 2e6, max: 1e8, noNaN: true });
  await fc.assert(
    fc.asyncProperty(rate, rate, fc.double({ min: 1, max: 50, noNaN: true }), async (up, down, roundTripMs) => {
      const { clock, server, measured } = visit(up, down, roundTripMs);
      const found = await clock.runUntil(measured);
      expect(Math.abs(found.upBitsPerSecond / up - 1)).toBeLessThan(0.25);
      expect(Math.abs(found.downBitsPerSecond / down - 1)).toBeLessThan(0.25);
      expect(found.roundTripMs).toBeGreaterThanOrEqual(roundTripMs);
      expect(found.roundTripMs).toBeLessThan(roundTripMs + (8000 * 2 * HEADER_BYTES) / up);
      await clock.runUntil(clock.sleep(1000, signal));
      expect(server.nodes()).toEqual([]);
    }),
    { numRuns: 20 },
  );
});

test('a server that goes away while the link is measured is told', async () => {
  const { clock, link, measured } = visit(1e5, 1e5, 10);
  const outcome = measured.catch((error: unknown) => error);
  clock.at(300, () => link.cut('the power went'));
  expect(await clock.runUntil(outcome)).toMatchObject({ code: 'unreachable' });
});
