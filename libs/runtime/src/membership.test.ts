import { createRng, type ConnectionHandlers } from '@longtail/core';
import type { Hello, ServerMessage, WorkerMessage } from '@longtail/protocol';
import { expect, test } from 'vitest';
import { Membership, type Part, type Session } from './membership.js';
import { clockOf } from './testing/clock.js';

const hello = (name: string, incarnation = name, node = ''): Hello => ({
  protocol: 1,
  name,
  incarnation,
  device: { engine: 'cpu', description: '', memoryBytes: 0, gflops: 0, throttle: 1 },
  allowCode: false,
  peerAddress: '10.0.0.2:4711', host: '', maxUploadBitsPerSecond: 0, curveKey: '', node, epoch: 0, standbyAddress: '', paused: '',
});

function setUp() {
  const log: string[] = [];
  const clock = clockOf({
    nowMs: () => 0,
    sleep: (_ms, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
  });
  const membership = new Membership({
    clock,
    rng: createRng(1),
    heartbeatMs: () => 1000,
    self: { epoch: 1, incarnation: 's' },
    joined: ({ name }) => log.push(`${name} joined`),
    left: ({ name }, reason) => log.push(`${name} left: ${reason}`),
    pauseChanged: ({ name, paused }) => log.push(`${name} is paused: ${paused}`),
    stray: ({ name }, run, task) => log.push(`${name} strayed: ${run} ${task}`),
    standbyKnown: ({ name }, number) => log.push(`${name} knows of change ${number}`),
    probed: ({ name }, { upBitsPerSecond }) => log.push(`${name} sends ${upBitsPerSecond} bit/s`),
    linkMeasured: ({ name }, { upBitsPerSecond }) => log.push(`${name} sends ${upBitsPerSecond} bit/s while it trains`),
  });
  const dial = (name: string, incarnation?: string, node = '') => {
    const sent: ServerMessage[] = [];
    let handlers!: ConnectionHandlers<WorkerMessage>;
    const connection = {
      peer: name,
      traffic: { bytesSent: 0, bytesReceived: 0 },
      sending: undefined,
      start: (given: ConnectionHandlers<WorkerMessage>) => void (handlers = given),
      send: (message: ServerMessage) => void sent.push(message),
      sendTensor: () => Promise.resolve(),
      close: (reason: string) => handlers.closed(reason),
    };
    membership.admit(connection, hello(name, incarnation, node));
    return {
      sent,
      say: (message: WorkerMessage) => handlers.message(message),
      close: (reason: string) => handlers.closed(reason),
      handlers,
    };
  };
  return { membership, log, dial };
}

test('a node is welcomed with an id of its own, and kept in the order of joining', () => {
  const { membership, dial, log } = setUp();
  const { sent } = dial('a');
  dial('b');
  const [first, second] = membership.sessions;
  expect(sent).toMatchObject([{ message: 'welcome', welcome: { node: first!.node, heartbeatMs: 1000 } }]);
  expect(first!.node).toMatch(/^n1-[0-9a-f]{8}$/);
  expect(second!.node).toMatch(/^n2-/);
  expect(log).toEqual(['a joined', 'b joined']);
});

test('a node leaves once, by its own word or by its link, and its part in a run is told', () => {
  const { membership, dial, log } = setUp();
  const { say, close } = dial('a');
  membership.sessions[0]!.part = { left: (reason: string) => log.push(`part: ${reason}`) } as unknown as Part;
  say({ message: 'leave', leave: { reason: 'its owner stopped it' } });
  close('the stream ended');
  expect(log).toEqual(['a joined', 'part: its owner stopped it', 'a left: its owner stopped it']);
  expect(membership.sessions).toEqual([]);
});

test('a worker that dials again takes the place of its old session', () => {
  const { membership, dial, log } = setUp();
  dial('a', 'process-1');
  dial('a', 'process-1');
  expect(log).toEqual(['a joined', 'a left: the same worker connected again', 'a joined']);
  expect(membership.sessions).toHaveLength(1);
  dial('a', 'process-2');
  expect(membership.sessions).toHaveLength(2);
});

test('what a node without a part in a run sends gets an answer', async () => {
  const { dial, log } = setUp();
  const { say, handlers } = dial('a');
  say({ message: 'taskDone', taskDone: { run: 'r', task: 3, samples: 0, targets: 0, lossSum: 0, correct: 0, computeMs: 0, prepareMs: 0, steps: 0, elapsedMs: 0, peerBytesUp: 0, peerBytesDown: 0, encodeMs: 0 } });
  await handlers.tensor({ header: { run: 'r', task: 4 } as never, payload: new Uint8Array(1) });
  expect(handlers.place!({ run: 'r', task: 4 } as never, 7)).toHaveLength(7);
  expect(log.slice(1)).toEqual(['a strayed: r 3', 'a strayed: r 4']);
});

test('what only measures the link is no part of any run', async () => {
  const { dial, log } = setUp();
  const { say, handlers } = dial('a');
  expect(handlers.place!({ kind: 'probe' } as never, 7)).toBe('borrow');
  await handlers.tensor({ header: { kind: 'probe' } as never, payload: new Uint8Array(7) });
  say({ message: 'linkProbed', linkProbed: { upBitsPerSecond: 1e6, roundTripMs: 3 } });
  say({ message: 'linkMeasured', linkMeasured: { upBitsPerSecond: 2e6, roundTripMs: 3 } });
  expect(log.slice(1)).toEqual(['a sends 1000000 bit/s', 'a sends 2000000 bit/s while it trains']);
});

test('rows tell what a node is doing', () => {
  const { membership, dial } = setUp();
  dial('a');
  const session: Session = membership.sessions[0]!;
  expect(session.row(250)).toMatchObject({ name: 'a', state: 'idle', run: '', lastSeenMsAgo: 250 });
  session.part = { run: 'r', state: 'ready', samplesPerSecond: 12 } as unknown as Part;
  expect(session.row(0)).toMatchObject({ state: 'ready', run: 'r', samplesPerSecond: 12 });
});

test('a node that comes back as another process keeps its id, and its old session ends', () => {
  const { membership, dial, log } = setUp();
  dial('a');
  const { node } = membership.sessions[0]!;
  dial('a', 'process-2', node);
  dial('b', 'process-3', 'n9-of-an-earlier-server');
  expect(membership.sessions.map((session) => session.node)).toEqual([node, 'n9-of-an-earlier-server']);
  expect(log).toEqual(['a joined', 'a left: the same worker connected again', 'a joined', 'b joined']);
});

test('its owner, a client or both let a node rest: it works when neither does', () => {
  const { membership, dial, log } = setUp();
  const { say } = dial('a');
  const session = membership.sessions[0]!;
  say({ message: 'pause', pause: { reason: 'too hot', leaves: false } });
  say({ message: 'pause', pause: { reason: 'a film', leaves: false } });
  membership.hold(session, 'moving house');
  expect(session.row(0)).toMatchObject({ state: 'paused', paused: 'a film' });
  say({ message: 'unpause', unpause: {} });
  expect(session.paused).toBe('moving house');
  membership.hold(session, '');
  expect(session.row(0)).toMatchObject({ state: 'idle', paused: '' });
  expect(log.slice(1)).toEqual(['a is paused: too hot', 'a is paused: ']);
});

test('a client’s pause outlasts the node’s connection', () => {
  const { membership, dial } = setUp();
  dial('a');
  const { node } = membership.sessions[0]!;
  membership.hold(membership.sessions[0]!, 'moving house');
  dial('a', 'process-2', node);
  expect(membership.sessions[0]!.paused).toBe('moving house');
});

test('a node that is dismissed is told why before its session ends', () => {
  const { membership, dial, log } = setUp();
  const { sent, say } = dial('a');
  say({ message: 'pause', pause: { reason: 'its owner stopped it', leaves: true } });
  membership.drain(membership.sessions[0]!, 'a client drains it');
  membership.dismiss(membership.sessions[0]!);
  expect(sent.at(-1)).toEqual({ message: 'dismiss', dismiss: { reason: 'its owner stopped it' } });
  expect(membership.sessions).toEqual([]);
  expect(log.slice(1)).toEqual(['a is paused: its owner stopped it', 'a left: its owner stopped it']);
});
