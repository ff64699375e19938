import { LongtailError, type Codec, type Compute, type ConnectionHandlers, type Job, type LinkRate, type Prepared } from '@longtail/core';
import type { ServerMessage, Task, Welcome, WorkerMessage } from '@longtail/protocol';
import { expect, test } from 'vitest';
import { Pauses } from './pauses.js';
import { WorkerSession } from './worker-session.js';
import { clockOf } from './testing/clock.js';

const welcome: Welcome = { node: 'n1', heartbeatMs: 1e9, protocol: 1, tensorPort: 0, tensorKey: '', tensorCurveKey: '', epoch: 1, incarnation: '' };
const job = { name: 'j', model: { type: 'mlp' }, train: { seed: 1 }, sync: { codec: 'fp32' } } as unknown as Job;
const codec: Codec = {
  id: 0,
  name: 'fp32',
  maxBytes: (length) => 4 * length,
  encode: (values, out) => (out.set(new Uint8Array(values.slice().buffer)), 4 * values.length),
  decode: (bytes, out) => out.set(new Float32Array(bytes.slice().buffer)),
};

/** A worker whose device never ends a task by itself. */
function setUp(device: Partial<Compute> = {}) {
  const link: { sending: LinkRate | undefined; direct: LinkRate | undefined; nowMs: number } = { sending: undefined, direct: undefined, nowMs: 0 };
  const sent: WorkerMessage[] = [];
  const calls: string[] = [];
  /** Not over yet. */
  const waits = new Set<{ readonly ms: number; ring(): void }>();
  let closedWith = '';
  let handlers!: ConnectionHandlers<ServerMessage>;
  const prepared = {
    layout: { slots: [], length: 4 },
    samplesPerSecond: 1,
    trainSamples: 10,
    validationSamples: 1,
    memoryBytes: 0,
    engine: 'cpu',
    parameters: new Float32Array(4),
    gradient: new Float32Array(4),
    state: [],
  };
  const untilAborted = (name: string, signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      calls.push(name);
      signal.addEventListener('abort', () => (calls.push(`${name} aborted`), reject(signal.reason as Error)));
    });
  const compute = {
    device: {},
    prepare: async () => prepared as unknown as Prepared,
    initialParameters: async () => undefined,
    loadParameters: async () => undefined,
    loadState: async () => undefined,
    gradient: (_ranges: unknown, signal: AbortSignal) => untilAborted('gradient', signal),
    release: async () => void calls.push('release'),
    ...device,
  } as unknown as Compute;
  const owner = new Pauses();
  const neighbour = {
    peer: 'neighbour',
    traffic: { bytesSent: 0, bytesReceived: 0 },
    get sending() {
      return link.direct;
    },
    start: () => undefined,
    sendTensor: async () => undefined,
    close: () => undefined,
  };
  const session = new WorkerSession(
    {
      peer: 'server',
      traffic: { bytesSent: 0, bytesReceived: 0 },
      get sending() {
        return link.sending;
      },
      start: (given) => (handlers = given),
      send: (message) => sent.push(message),
      sendTensor: async (tensor) => void tensor.chunk(0, 4),
      close: (reason) => (closedWith ||= reason),
    },
    welcome,
    {
      standby: () => undefined,
      compute,
      fileCache: { find: async () => undefined, receive: () => Promise.reject(new Error('no files')) },
      codecs: [codec],
      createFeedback: () => expect.unreachable(),
      crc32c: () => 0,
      clock: clockOf({
        nowMs: () => link.nowMs,
        sleep: (ms, signal) =>
          new Promise((resolve, reject) => {
            if (ms <= 1e3) return resolve();
            const wait = { ms, ring: resolve };
            waits.add(wait);
            signal.addEventListener('abort', () => (waits.delete(wait), reject(signal.reason as Error)));
          }),
      }),
      chunkLength: 4,
      peers: { address: '', accept: async () => neighbour, dial: async () => neighbour },
      log: () => undefined,
      owner,
      saidPaused: '',
    },
  );
  const [stop, finish] = [new AbortController(), new AbortController()];
  const ended = session.serve(stop.signal, finish.signal);
  const task = (id: number, kind: Task['kind'], version = 0): ServerMessage => ({
    message: 'task',
    task: {
      run: 'r',
      task: id,
      kind,
      round: 1,
      version,
      ranges: [{ epoch: 0, start: 0, end: 5 }],
      steps: [],
      optimizerSteps: 0,
      start: 0,
      end: 0,
      microbatch: 0,
      actions: [],
      parts: [{ segment: 0, start: 0, length: 4 }],
      shared: [],
      codec: 0,
      mixing: 0,
    },
  });
  const say = (message: ServerMessage) => handlers.message(message);
  return {
    link,
    sent,
    calls,
    stop,
    finish,
    owner,
    waits,
    session,
    ended,
    task,
    say,
    /** Prepared, with its parameters fresh, and given so many gradients: it is at the first one. */
    async atWork(gradients: number) {
      say(prepare);
      await settled();
      say(task(1, 'INITIALISE'));
      for (let i = 0; i < gradients; i++) say(task(2 + i, 'GRADIENT'));
      await settled();
    },
    handlers: () => handlers,
    closedWith: () => closedWith,
  };
}

const held = [{ stage: 0, start: 0, end: 0 }];
const place = { group: 'n1', worker: 0, workers: 1, stages: 1, held, neighbours: [], afterTask: 0, afterTransfer: 0, microbatch: 0, inFlight: 0, recompute: false };
const settled = () => new Promise((resolve) => setImmediate(resolve));
const prepare: ServerMessage = { message: 'prepare', prepare: { run: 'r', jobJson: JSON.stringify(job), files: [], place } };

test('prepares, says that it is ready, and does its tasks', async () => {
  const { sent, say, task, calls, stop, ended } = setUp();
  say(prepare);
  await settled();
  expect(sent.map(({ message }) => message)).toEqual(['ready']);
  say(task(1, 'INITIALISE'));
  say(task(2, 'GRADIENT'));
  await settled();
  expect(sent.map(({ message }) => message)).toEqual(['ready', 'taskDone']);
  expect(calls).toEqual(['gradient']);
  stop.abort();
  expect(await ended).toBe('its owner stopped it');
  expect(calls).toEqual(['gradient', 'gradient aborted', 'release']);
  expect(sent.at(-1)).toMatchObject({ message: 'leave' });
});

test('a device that fails at once fails the task, and not the worker', async () => {
  let failures = 0;
  const { sent, stop, ended, atWork } = setUp({
    gradient: () => {
      failures++;
      throw new LongtailError('the device is gone', { code: 'engine' });
    },
  });
  await atWork(2);
  expect(failures).toBe(2);
  const failed = sent.flatMap((message) => (message.message === 'taskFailed' ? [message.taskFailed] : []));
  expect(failed).toMatchObject([
    { task: 2, failure: { message: 'the device is gone' } },
    { task: 3, failure: { message: 'the device is gone' } },
  ]);
  stop.abort();
  await ended;
});

test('a task that is called off ends at once and says nothing', async () => {
  const { sent, say, calls, atWork } = setUp();
  await atWork(2);
  say({ message: 'cancelTask', cancelTask: { run: 'r', task: 2, deliver: false } });
  await settled();
  expect(calls).toEqual(['gradient', 'gradient aborted', 'gradient']);
  expect(sent.map(({ message }) => message)).toEqual(['ready', 'taskDone']);
});

test('a release frees the device for the next run', async () => {
  const { sent, say, task, calls, atWork } = setUp();
  await atWork(1);
  say({ message: 'release', release: { run: 'r', reason: 'over' } });
  say({ message: 'prepare', prepare: { run: 'r2', jobJson: JSON.stringify(job), files: [], place } });
  await settled();
  expect(calls).toEqual(['gradient', 'gradient aborted', 'release']);
  expect(sent.at(-1)).toMatchObject({ message: 'ready', ready: { run: 'r2' } });
  say(task(3, 'GRADIENT')); // of the old run
  await settled();
  expect(calls).toHaveLength(3);
});

test('a server that piles up tasks breaks the protocol: the queue is bounded', async () => {
  const { say, task, ended, closedWith } = setUp();
  say(prepare);
  await settled();
  for (let id = 1; id <= 9; id++) say(task(id, 'GRADIENT', 99));
  expect(await ended).toBe('more than 8 tasks queued');
  expect(closedWith()).toBe('more than 8 tasks queued');
});

test('a chunk that does not fit the model ends the session', async () => {
  const { say, ended, handlers } = setUp();
  say(prepare);
  await settled();
  const header = {
    run: 'r',
    kind: 'parameters',
    stage: 0,
    fragment: 0,
    task: 1,
    round: 0,
    baseVersion: 1,
    samples: 0,
    codec: 0,
    name: '',
    start: 0,
    chunk: 0,
    chunks: 7,
    offset: 0,
    length: 4,
    crc: 0,
  } as const;
  await handlers().tensor({ header, payload: new Uint8Array(16) });
  expect(await ended).toBe('chunk 0 of 7 of parameters does not fit the model');
});

test('tells what its tensors make of the link beside other messages, when that is news, and no more often than heartbeats', async () => {
  const { link, sent, say, stop, ended } = setUp();
  const told = () => sent.filter(({ message }) => message === 'linkMeasured').length;
  const speak = () => say({ message: 'probeLink', probeLink: { mostBytes: 1 } });
  link.sending = { bitsPerSecond: 1e7, roundTripMs: 40 };
  speak();
  await settled();
  expect(told()).toBe(0);
  link.nowMs = 1.1e9; // a heartbeat later
  speak();
  await settled();
  expect(sent.at(-1)).toEqual({ message: 'linkMeasured', linkMeasured: { upBitsPerSecond: 1e7, roundTripMs: 40 } });
  link.nowMs = 3e9;
  speak();
  await settled();
  expect(told()).toBe(1);
  link.sending = { bitsPerSecond: 2e7, roundTripMs: 40 };
  speak();
  await settled();
  expect(told()).toBe(2);
  stop.abort();
  await ended;
});

test('tells what its tensors make of direct links in the same way, as long as they are there', async () => {
  const { link, sent, say, stop, ended } = setUp();
  const told = () => sent.flatMap((message) => (message.message === 'peerMeasured' ? [message.peerMeasured] : []));
  const speak = async () => {
    say({ message: 'probeLink', probeLink: { mostBytes: 1 } });
    await settled();
  };
  const neighbours = [{ worker: 1, node: 'n2', address: '', key: 'k', curveKey: '' }];
  say({ message: 'prepare', prepare: { run: 'r', jobJson: JSON.stringify(job), files: [], place: { ...place, workers: 2, neighbours } } });
  await settled();
  link.nowMs = 1.1e9;
  await speak();
  expect(told(), 'nothing is known').toEqual([]);
  link.direct = { bitsPerSecond: 3e7, roundTripMs: 5 };
  await speak();
  await speak();
  expect(told()).toEqual([{ run: 'r', node: 'n2', bitsPerSecond: 3e7 }]);
  link.direct = { bitsPerSecond: 1e7, roundTripMs: 5 };
  await speak();
  expect(told(), 'not before the next heartbeat').toHaveLength(1);
  link.nowMs = 3e9;
  await speak();
  expect(told()).toHaveLength(2);
  say({ message: 'release', release: { run: 'r', reason: 'over' } });
  link.direct = { bitsPerSecond: 2e7, roundTripMs: 5 };
  link.nowMs = 5e9;
  await speak();
  expect(told()).toHaveLength(2);
  stop.abort();
  await ended;
});

test('tells the server when its owner wants the machine, and when not any more', async () => {
  const { sent, owner, stop, ended } = setUp();
  owner.set('owner', 'a film');
  owner.set('owner', '');
  stop.abort();
  await ended;
  expect(sent.slice(0, 2)).toEqual([
    { message: 'pause', pause: { reason: 'a film', leaves: false } },
    { message: 'unpause', unpause: {} },
  ]);
});

test('a server that does not settle what a resting node holds does not keep the device', async () => {
  const { owner, calls, stop, ended, atWork, waits } = setUp();
  await atWork(1);
  owner.set('owner', 'a film');
  for (const { ms, ring } of waits) if (ms === 4000) ring();
  await settled();
  expect(calls).toEqual(['gradient', 'gradient aborted', 'release']);
  stop.abort();
  await ended;
});

test('who leaves at once says why, where somebody knows', async () => {
  const { sent, stop, ended } = setUp();
  stop.abort(new LongtailError('the command that started it is gone', { code: 'cancelled' }));
  expect(await ended).toBe('the command that started it is gone');
  expect(sent).toEqual([{ message: 'leave', leave: { reason: 'the command that started it is gone' } }]);
});

test('whoever is to leave once it is done waits for the server’s word', async () => {
  const { sent, say, finish, session, ended, calls } = setUp();
  say(prepare);
  await settled();
  finish.abort();
  expect(sent.at(-1)).toEqual({ message: 'pause', pause: { reason: 'its owner stopped it', leaves: true } });
  say({ message: 'dismiss', dismiss: { reason: 'its owner stopped it' } });
  expect(await ended).toBe('its owner stopped it');
  expect(session.dismissed).toBe('its owner stopped it');
  expect(calls).toEqual(['release']);
});

test('an owner who lets the node work again ends the wait after which it drops what it holds', async () => {
  const { calls, owner, atWork, sent, waits } = setUp();
  const patience = () => [...waits].filter(({ ms }) => ms === 4000);
  await atWork(1);
  owner.set('owner', 'a film');
  const [first] = patience();
  owner.set('owner', '');
  expect(patience()).toEqual([]);
  owner.set('owner', 'another film');
  const [second] = patience();
  expect(second).not.toBe(first);
  owner.set('limits', 'too hot');
  owner.set('owner', '');
  expect(patience()).toEqual([second]);
  expect(calls).toEqual(['gradient']);
  second!.ring();
  await settled();
  expect(calls).toEqual(['gradient', 'gradient aborted', 'release']);
  expect(sent.map(({ message }) => message)).toEqual(['ready', 'taskDone', 'pause', 'unpause', 'pause', 'pause']);
});
