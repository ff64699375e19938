import type { ConnectionHandlers } from '@longtail/core';
import type { Hello, ServerMessage, WorkerMessage } from '@longtail/protocol';
import { expect, it } from 'vitest';
import { Following, type Standing } from './following.js';
import type { RunCore } from './run-core.js';
import type { RunOutbox } from './run-outbox.js';
import { StandbySeat } from './standby-seat.js';
import { clockOf } from './testing/clock.js';

const hello: Hello = {
  ...{ protocol: 1, name: 'standby', incarnation: 'i', device: { engine: 'cpu', description: '', memoryBytes: 0, gflops: 0, throttle: 1 }, allowCode: false },
  ...{ peerAddress: '', host: '', maxUploadBitsPerSecond: 0, curveKey: '', node: '', epoch: 0, standbyAddress: 'standby:1', paused: '' },
};
const never = new AbortController().signal;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setUp() {
  const timers: (() => void)[] = [];
  let nowMs = 0;
  const clock = clockOf({
    nowMs: () => nowMs,
    sleep: (_ms, signal) =>
      new Promise((resolve, reject) => {
        timers.push(resolve);
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
  });
  const warnings: string[] = [];
  const seat = new StandbySeat({
    ...{ clock, self: { epoch: 1, incarnation: 's' }, runs: () => [], access: undefined, changed: () => undefined, accessBehind: () => undefined },
    commitsWait: (address) => warnings.push(address),
  });
  return {
    seat,
    warnings,
    pass(ms: number): void {
      nowMs += ms;
      for (const fire of timers.splice(0)) fire();
    },
    attach(): { readonly sent: ServerMessage[]; cut(): void } {
      const sent: ServerMessage[] = [];
      let handlers!: ConnectionHandlers<WorkerMessage>;
      const connection = {
        ...{ peer: 'standby', traffic: { bytesSent: 0, bytesReceived: 0 }, sending: undefined, sendTensor: () => Promise.resolve(), close: () => undefined },
        start: (given: ConnectionHandlers<WorkerMessage>) => void (handlers = given),
        send: (message: ServerMessage) => void sent.push(message),
      };
      seat.admit(connection, hello);
      return { sent, cut: () => handlers.closed('cut') };
    },
  };
}

const fleet = (nodes: readonly string[], beside: readonly string[] = []) => ({ nodes, beside: new Set(beside) });

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(() => (settled = true));
  await turn();
  return settled;
}

it('commits count without a standby where there was none, or it knew of no nodes', () => {
  const { seat, attach } = setUp();
  expect(seat.mayCommit).toBe(true);
  attach().cut();
  expect(seat.mayCommit).toBe(true);
});

it('once it is gone they wait until more than half of the nodes that it knew know so, of those on other machines too', async () => {
  const { seat, attach } = setUp();
  const { cut } = attach();
  seat.tellFleet(fleet(['a', 'b', 'c', 'd'], ['a', 'b']));
  cut();
  const allowed = seat.untilMayCommit(never);
  for (const node of ['a', 'b', 'c', 'stranger']) seat.nodeKnows(node, seat.changes);
  expect([seat.mayCommit, await isSettled(allowed)]).toEqual([false, false]);
  seat.nodeKnows('d', seat.changes - 1);
  expect(seat.mayCommit).toBe(false);
  seat.nodeKnows('d', seat.changes);
  await allowed;
  expect(seat.mayCommit).toBe(true);
});

it('or until it is back; what nodes knew before is nothing then', async () => {
  const { seat, attach } = setUp();
  const first = attach();
  seat.tellFleet(fleet(['a']));
  first.cut();
  const none = seat.changes;
  const allowed = seat.untilMayCommit(never);
  const second = attach();
  await allowed;
  seat.nodeKnows('a', none);
  seat.tellFleet(fleet(['a', 'b']));
  second.cut();
  for (const node of ['a', 'b']) seat.nodeKnows(node, none);
  expect(seat.mayCommit).toBe(false);
});

it('waits for none that was dismissed', () => {
  const { seat, attach } = setUp();
  attach();
  seat.tellFleet(fleet(['a']));
  seat.dismiss('the server ends');
  expect(seat.mayCommit).toBe(true);
});

it('tells somebody once when that takes more than five seconds', async () => {
  const { seat, attach, pass, warnings } = setUp();
  const { cut } = attach();
  seat.tellFleet(fleet(['a']));
  cut();
  const stop = new AbortController();
  const waits = [seat.untilMayCommit(stop.signal), seat.untilMayCommit(stop.signal)];
  pass(4999);
  await turn();
  expect(warnings).toEqual([]);
  pass(1);
  await turn();
  expect(warnings).toEqual(['standby:1']);
  stop.abort(new Error('enough'));
  await Promise.all(waits);
});

it('a commit that may be another one elsewhere is told to nobody, nor is any event shown, before that is sure', async () => {
  let mayCommit = false;
  let allow!: () => void;
  const allowed = new Promise<void>((resolve) => (allow = resolve));
  const standing: Standing = {
    get mayCommit() {
      return mayCommit;
    },
    untilMayCommit: () => allowed,
  };
  const done: string[] = [];
  const outbox = { holdBack: (tell: () => void) => ({ events: [], release: tell }) } as Partial<RunOutbox> as RunOutbox;
  const following = new Following({ standing, signal: never, outbox } as Partial<RunCore> as RunCore);
  const told = following.tell(undefined, 0, () => done.push('told'));
  const shown = following.visible(1, never);
  expect([await isSettled(told), await isSettled(shown), done]).toEqual([false, false, []]);
  mayCommit = true;
  allow();
  await Promise.all([told, shown]);
  expect(done).toEqual(['told']);
});
