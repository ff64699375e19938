import { createRng, LongtailError, type Compute } from '@longtail/core';
import type { Welcome } from '@longtail/protocol';
import { expect, test } from 'vitest';
import type { WorkerConnection } from './ports.js';
import type { WorkerEvent } from './worker-events.js';
import { runWorker, type WorkerOptions } from './worker-loop.js';
import { clockOf } from './testing/clock.js';

const welcome: Welcome = { node: 'n1', heartbeatMs: 1e9, protocol: 1, tensorPort: 0, tensorKey: '', tensorCurveKey: '', epoch: 1, incarnation: '' };
const unreachable = () => new LongtailError('nobody there', { code: 'unreachable' });

/** Time passes only in pauses of the search; heartbeats of the sessions here never come due. */
function setUp(overrides: Partial<WorkerOptions> = {}) {
  let now = 0;
  const stop = new AbortController();
  const events: WorkerEvent[] = [];
  const hellos: string[] = [];
  const clock = clockOf({
    nowMs: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (ms > 1e8) return signal.addEventListener('abort', () => reject(signal.reason as Error));
        now += ms;
        resolve();
      }),
  });
  const options: WorkerOptions = {
    dial: () => Promise.reject(unreachable()),
    compute: { device: { engine: 'cpu', description: '', memoryBytes: 0, gflops: 0, throttle: 1 } } as unknown as Compute,
    fileCache: { find: async () => undefined, receive: () => Promise.reject(new Error('no files')) },
    codecs: [],
    createFeedback: () => expect.unreachable(),
    crc32c: () => 0,
    clock,
    rng: createRng(1),
    signal: stop.signal,
    name: 'w',
    allowCode: false,
    log: (event) => events.push(event),
    ...overrides,
  };
  return { options, stop, events, hellos, elapsedMs: () => now };
}

/** A connection that closes as `end` says, or when the worker closes it. */
function connectionThat(end: (close: (reason: string) => void) => void, sent: string[] = []): WorkerConnection {
  let closed: (reason: string) => void;
  return {
    peer: 'server',
    traffic: { bytesSent: 0, bytesReceived: 0 },
      sending: undefined,
    start(handlers) {
      closed = (reason) => handlers.closed(reason);
      end(closed);
    },
    send: (message) => sent.push(message.message),
    sendTensor: () => Promise.resolve(),
    close: (reason) => closed(reason),
  };
}

test('no server at the start is an error', async () => {
  const { options, elapsedMs } = setUp();
  await expect(runWorker(options)).rejects.toMatchObject({ code: 'unreachable', message: 'nobody there' });
  expect(elapsedMs()).toBe(0);
});

test('with `wait` it dials until one is there, with growing pauses', async () => {
  let dials = 0;
  const { options, stop, events } = setUp({
    wait: true,
    dial: async () => {
      if (++dials < 8) throw unreachable();
      return { connection: connectionThat(() => stop.abort()), welcome };
    },
  });
  expect(await runWorker(options)).toEqual({ reason: 'left' });
  const pauses = events.flatMap((event) => (event.event === 'reconnecting' ? [event.inMs] : []));
  expect(pauses).toHaveLength(7);
  expect(pauses[0]).toBeLessThan(320);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(1.25 * 5000);
  expect(pauses[6]).toBeGreaterThan(3000);
});

test.each(['refused', 'protocol'] as const)('a server that answers %s ends it, even with `wait`', async (code) => {
  const { options } = setUp({ wait: true, dial: () => Promise.reject(new LongtailError('no', { code })) });
  await expect(runWorker(options)).rejects.toMatchObject({ code });
});

test.each([{}, { wait: true }])('a server that is there but says nothing may be stopped or busy: it is looked for as one that is away (%j)', async (wait) => {
  let dials = 0;
  const { options, stop, events } = setUp({
    ...wait,
    dial: async () => {
      dials++;
      if (dials === (wait.wait ? 1 : 2)) throw new LongtailError('the server said nothing for 10 s', { code: 'timeout' });
      return { connection: connectionThat((close) => (dials > 2 ? stop.abort() : close('it was lost'))), welcome };
    },
  });
  await expect(runWorker(options)).resolves.toEqual({ reason: 'left' });
  expect(events.filter(({ event }) => event === 'reconnecting')).toHaveLength(1);
});

test('a server that goes away is looked for, then given up with how long it was away', async () => {
  let dials = 0;
  const { options, events, elapsedMs } = setUp({
    reconnectForMs: 20_000,
    dial: async () => {
      if (++dials > 2) throw unreachable();
      return { connection: connectionThat((close) => close('the server stopped')), welcome };
    },
  });
  await expect(runWorker(options)).rejects.toMatchObject({ code: 'unreachable', message: 'the server was away for 20 s: nobody there' });
  expect(events.filter(({ event }) => event === 'disconnected')).toEqual([
    { event: 'disconnected', reason: 'the server stopped' },
    { event: 'disconnected', reason: 'the server stopped' },
  ]);
  expect(elapsedMs()).toBeGreaterThanOrEqual(20_000);
  expect(elapsedMs()).toBeLessThan(30_000);
});

test('however long it is cut off, it comes back by itself', async () => {
  const CUT_OFF_MS = 6 * 3_600_000;
  let joined = 0;
  const { options, stop, elapsedMs } = setUp({
    dial: async () => {
      if (joined > 0 && elapsedMs() < CUT_OFF_MS) throw unreachable();
      return { connection: connectionThat((close) => (++joined > 1 ? stop.abort() : close('nothing comes through'))), welcome };
    },
  });
  expect(await runWorker(options)).toEqual({ reason: 'left' });
  expect([joined, elapsedMs() - CUT_OFF_MS < 10_000]).toEqual([2, true]);
});

test('its owner stops it: it says so to the server and ends well', async () => {
  const sent: string[] = [];
  const { options, stop, events } = setUp();
  const left = runWorker({ ...options, dial: async () => ({ connection: connectionThat(() => undefined, sent), welcome }) });
  await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  expect(await left).toEqual({ reason: 'left' });
  expect(sent).toEqual(['leave']);
  expect(events.map(({ event }) => event)).toEqual(['joined', 'disconnected']);
});

test('an owner who stops it while it looks for a server is heard at once', async () => {
  const stop = new AbortController();
  const { options } = setUp({ wait: true, signal: stop.signal });
  const ended = runWorker({ ...options, log: () => stop.abort() });
  expect(await ended).toEqual({ reason: 'left' });
});

test('each process has an incarnation of its own, each dial of it the same', async () => {
  const incarnations: string[] = [];
  const dial: WorkerOptions['dial'] = async (hello) => {
    incarnations.push(hello.incarnation);
    throw unreachable();
  };
  for (const seed of [1, 2]) await runWorker({ ...setUp().options, dial, rng: createRng(seed) }).catch(() => undefined);
  expect(incarnations[0]).toMatch(/^[0-9a-f]{16}$/);
  expect(incarnations[1]).not.toBe(incarnations[0]);
});

test('it says the id that it was given, in this process or an earlier one, and has a new one kept', async () => {
  const said: string[] = [];
  const kept: string[] = [];
  const { options, stop } = setUp({
    identity: { node: 'n7', remember: (node) => kept.push(node) },
    dial: async ({ node }) => {
      said.push(node);
      if (said.length === 3) stop.abort();
      return { connection: connectionThat((close) => close('the server died')), welcome: { ...welcome, node: 'n8' } };
    },
  });
  await runWorker(options);
  expect(said).toEqual(['n7', 'n8', 'n8']);
  expect(kept).toEqual(['n8']);
});
