import type { OutgoingTensor, TensorChunk, TensorHeader } from '@longtail/core';
import { createRng } from '@longtail/core';
import { createKernels } from '@longtail/kernels';
import { beforeEach, expect, test } from 'vitest';
import { VirtualClock } from './virtual-clock.js';
import { VirtualNetwork, type LinkSpec, type NetworkOptions } from './virtual-network.js';

const kernels = createKernels({ implementation: 'reference' });
let never: AbortSignal;
beforeEach(() => {
  never = new AbortController().signal;
});
/** 1000 values of a byte each and 100 of headers: 1.1 KB a chunk. */
const CHUNK = 1000;

function setUp(link: Partial<LinkSpec> = {}, serverBitsPerSecond = 1e12, options: Partial<NetworkOptions> = {}) {
  const clock = new VirtualClock();
  const network = new VirtualNetwork({
    clock,
    serverUpBitsPerSecond: serverBitsPerSecond,
    serverDownBitsPerSecond: serverBitsPerSecond,
    rng: createRng(1),
    crc32c: (bytes) => kernels.crc32c(bytes),
    ...options,
  });
  const spec = { upBitsPerSecond: 8.8e6, downBitsPerSecond: 88e6, rttMs: 10, ...link };
  return { clock, network, connect: () => network.connect('w', spec) };
}

function tensor(chunks: number, values = new Uint8Array(chunks * CHUNK)): OutgoingTensor {
  const header = {
    run: 'r',
    kind: 'gradient',
    stage: 0,
    fragment: 0,
    task: 1,
    round: 1,
    baseVersion: 0,
    samples: 1,
    codec: 0,
    name: '',
    start: 0,
  } as const;
  return { header, length: chunks * CHUNK, chunkLength: CHUNK, chunk: (offset, length) => values.subarray(offset, offset + length) };
}

const ignore = { message: () => undefined, tensor: () => undefined, closed: () => undefined };

test('a tensor takes its bytes over the slower end, through both at once, and half a round trip each way', async () => {
  const { clock, connect } = setUp();
  const link = connect();
  const arrivals: number[] = [];
  link.server.start({ ...ignore, tensor: () => void arrivals.push(clock.nowMs()) });
  await clock.runUntil(link.worker.sendTensor(tensor(4), never));
  expect(arrivals.map((ms) => Math.round(ms))).toEqual([6, 7, 8, 9]);
  expect(clock.nowMs()).toBeCloseTo(14, 1);
});

test('messages of one instant arrive in one event, in their order, and nothing comes after one that ended the link', async () => {
  const { clock, connect } = setUp({ rttMs: 10 });
  const link = connect();
  const heard: string[] = [];
  link.server.start(ignore);
  link.worker.start({
    ...ignore,
    message({ message }) {
      heard.push(message);
      // Another event comes behind it.
      void Promise.resolve().then(() => heard.push('settled'));
      if (message === 'release') link.worker.close('enough');
    },
  });
  const beat = () => link.server.send({ message: 'heartbeat', heartbeat: {} });
  beat();
  beat();
  clock.at(1, beat);
  clock.at(2, () => {
    link.server.send({ message: 'release', release: { run: 'r', reason: '' } });
    beat();
  });
  await clock.runUntil(clock.sleep(20, never));
  expect(heard).toEqual(['heartbeat', 'heartbeat', 'settled', 'settled', 'heartbeat', 'settled', 'release', 'settled']);
});

test('two workers share the rate of the server', async () => {
  const { clock, connect } = setUp({ rttMs: 0 }, 8.8e6);
  const links = [connect(), connect()];
  for (const { server } of links) server.start(ignore);
  await clock.runUntil(Promise.all(links.map(({ worker }) => worker.sendTensor(tensor(10), never))));
  expect(clock.nowMs()).toBeCloseTo(20, 6);
});

test('nodes of one site share its link fairly, each way, and leave others alone', async () => {
  const { clock, network } = setUp();
  const times: number[] = [];
  for (const site of ['here', 'here', undefined]) {
    const link = network.connect('w', { upBitsPerSecond: 8.8e6, downBitsPerSecond: 17.6e6, rttMs: 0, site });
    for (const end of [link.server, link.worker]) {
      end.start(ignore);
      void end.sendTensor(tensor(10), never).then(() => times.push(Math.round(clock.nowMs())));
    }
  }
  await clock.runUntil(clock.sleep(100, never));
  expect(times).toEqual([5, 10, 10, 10, 20, 20]);
});

test('a tensor of which a chunk cannot be made is given up with the reason, and others go on', async () => {
  const { clock, connect } = setUp();
  const link = connect();
  link.server.start(ignore);
  const whole = tensor(12);
  const broken = { ...whole, chunk: (offset: number, length: number) => (offset === 10 * CHUNK ? expect.unreachable('of this chunk') : whole.chunk(offset, length)) };
  const [lost, sent] = [link.worker.sendTensor(broken, never), link.worker.sendTensor(tensor(12), never)];
  await clock.runUntil(expect(lost).rejects.toThrow('of this chunk'));
  await clock.runUntil(sent);
});

test('an abort gives up what is sent under its signal, and nothing else', async () => {
  const { clock, connect } = setUp();
  const link = connect();
  link.server.start(ignore);
  const [one, other] = [new AbortController(), new AbortController()];
  const sends = [one, other, one].map(({ signal }) => link.worker.sendTensor(tensor(4), signal));
  clock.at(3, () => one.abort(new Error('called off')));
  const outcomes = await clock.runUntil(Promise.allSettled(sends));
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected']);
  await expect(link.worker.sendTensor(tensor(1), one.signal)).rejects.toThrow('called off');
});

test('a receiver that takes its time holds the sender back', async () => {
  const { clock, connect } = setUp();
  const link = connect();
  let coded = 0;
  const counted: OutgoingTensor = { ...tensor(40), chunk: () => (coded++, new Uint8Array(CHUNK)) };
  let release = () => undefined as void;
  link.server.start({ ...ignore, tensor: () => new Promise<void>((resolve) => (release = resolve)) });
  void link.worker.sendTensor(counted, never);
  await clock.runUntil(clock.sleep(1000, never));
  expect(coded).toBe(8);
  release();
  await clock.runUntil(clock.sleep(1000, never));
  expect(coded).toBe(9);
});

test('bytes that change on the way fail their checksum and end the link at both ends', async () => {
  const { clock, connect } = setUp();
  const link = connect();
  const values = new Uint8Array(CHUNK);
  const ends: string[] = [];
  const taken: TensorChunk[] = [];
  link.server.start({ ...ignore, tensor: (chunk) => void taken.push(chunk), closed: (reason) => ends.push(`server: ${reason}`) });
  link.worker.start({ ...ignore, closed: (reason) => ends.push(`worker: ${reason}`) });
  const sent = link.worker.sendTensor(tensor(1, values), never).catch((error: { code: string }) => error.code);
  values[0] = 1;
  expect(await clock.runUntil(sent)).toBe('unreachable');
  await clock.runUntil(clock.sleep(50, never));
  expect(ends.sort()).toEqual(['server: chunk 0 of gradient 1 fails its checksum', 'worker: chunk 0 of gradient 1 fails its checksum']);
  expect(taken).toEqual([]);
});

test('without checksums bytes lie where the sender has them, unless the receiver has a place for them or keeps them', async () => {
  const { clock, connect } = setUp({}, 1e12, { crc32c: undefined });
  const values = Uint8Array.from({ length: 3 * CHUNK }, (_, i) => i);
  const place = new Uint8Array(CHUNK);
  const places = ['borrow', place, undefined] as const;
  const taken: TensorChunk[] = [];
  const link = connect();
  link.server.start({ ...ignore, place: ({ chunk }) => places[chunk], tensor: (chunk) => void taken.push(chunk) });
  await clock.runUntil(link.worker.sendTensor(tensor(3, values), never));
  expect(taken.map(({ payload }) => payload.buffer === values.buffer)).toEqual([true, false, false]);
  expect(taken[1]!.payload).toBe(place);
  expect(taken.map(({ payload }) => payload)).toEqual([0, 1, 2].map((chunk) => values.subarray(chunk * CHUNK, (chunk + 1) * CHUNK)));
});

test('a loan comes with bytes that lie where the sender has them, and with no others', async () => {
  const loan = { hold: () => undefined, release: () => undefined };
  const seen = async (crc32c?: undefined | { readonly crc32c: undefined }) => {
    const { clock, connect } = setUp({}, 1e12, crc32c);
    const link = connect();
    const lent: unknown[] = [];
    const place = ({ chunk }: TensorHeader, bytes: number, isLent?: boolean) => {
      lent.push(isLent);
      return chunk === 0 ? ('borrow' as const) : new Uint8Array(bytes);
    };
    link.server.start({ ...ignore, place, tensor: (chunk) => void lent.push(chunk.loan) });
    await clock.runUntil(link.worker.sendTensor({ ...tensor(2, new Uint8Array(2 * CHUNK)), loan }, never));
    return lent;
  };
  expect(await seen({ crc32c: undefined })).toEqual([true, loan, true, undefined]);
  expect(await seen()).toEqual([false, undefined, false, undefined]);
});

test('a stall delays everything and loses nothing; messages keep their order, and come before the end of the link', async () => {
  const { clock, connect } = setUp();
  const link = connect();
  const seen: string[] = [];
  link.worker.start({
    ...ignore,
    message: (message) => seen.push(`${message.message} at ${clock.nowMs()}`),
    closed: (reason) => seen.push(`${reason} at ${clock.nowMs()}`),
  });
  link.stall(100);
  link.server.send({ message: 'heartbeat', heartbeat: {} });
  link.server.send({ message: 'release', release: { run: 'r', reason: '' } });
  link.server.close('bye');
  await clock.runUntil(clock.sleep(500, never));
  expect(seen).toEqual(['heartbeat at 100', 'release at 100', 'bye at 100']);
});

test('what arrives at the very end of a stall stays behind what it held', async () => {
  const { clock, connect } = setUp();
  const link = connect();
  const seen: string[] = [];
  link.worker.start({ ...ignore, message: ({ message }) => seen.push(message) });
  link.stall(100);
  clock.at(92, () => link.server.send({ message: 'release', release: { run: 'r', reason: '' } }));
  clock.at(95, () => link.server.send({ message: 'heartbeat', heartbeat: {} }));
  await clock.runUntil(clock.sleep(500, never));
  expect(seen).toEqual(['release', 'heartbeat']);
});

test('a cut fails what is being sent, at once', async () => {
  const { clock, connect } = setUp();
  const link = connect();
  link.server.start(ignore);
  const sent = link.worker.sendTensor(tensor(40), never).catch((error: Error) => error.message);
  clock.at(7, () => link.cut('cut'));
  expect(await clock.runUntil(sent)).toBe('the link has ended: cut');
  expect(clock.nowMs()).toBe(7);
});

test('a direct link goes over the links of both ends, unless it has one of its own', async () => {
  const home = { upBitsPerSecond: 8.8e5, downBitsPerSecond: 88e6, rttMs: 40 };
  const lan = { bitsPerSecond: 8.8e6, rttMs: 2 };
  const times = [];
  for (const peerLink of [undefined, () => lan]) {
    const { clock, network } = setUp({}, 1e12, { peerLink });
    const [a, b] = [network.peers('a', home, 'a'), network.peers('b', home, '')];
    const [from, to] = await clock.runUntil(Promise.all([b.dial('a', 'key', never), a.accept('key', never)]));
    to.start(ignore);
    const sinceMs = clock.nowMs();
    await clock.runUntil(from.sendTensor(tensor(4), never));
    times.push(Math.round(clock.nowMs() - sinceMs));
  }
  // 4 chunks, and there and back.
  expect(times).toEqual([40 + 40, 4 + 2]);
});

test('what a node sends over several direct links shares its uplink, or its port in a LAN', async () => {
  const home = { upBitsPerSecond: 8.8e5, downBitsPerSecond: 88e6, rttMs: 40 };
  const lan = { bitsPerSecond: 8.8e6, rttMs: 2 };
  const times = [];
  for (const peerLink of [undefined, () => lan]) {
    const { clock, network } = setUp({}, 1e12, { peerLink });
    const sender = network.peers('a', home, 'a');
    const links = await clock.runUntil(
      Promise.all(['b', 'c'].flatMap((name) => [sender.dial('', name, never), network.peers(name, home, '').accept(name, never)])),
    );
    for (const to of [links[1]!, links[3]!]) to.start(ignore);
    const sinceMs = clock.nowMs();
    await clock.runUntil(Promise.all([links[0]!, links[2]!].map((from) => from.sendTensor(tensor(4), never))));
    times.push(Math.round(clock.nowMs() - sinceMs));
  }
  expect(times).toEqual([2 * 40 + 40, 2 * 4 + 2]);
});
