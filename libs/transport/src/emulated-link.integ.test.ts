import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { dial, EmulatedLink, openPeers, UploadLimit, createTensorMemory, type DialOptions, type LinkThrottle } from './index.js';
import { crc32c, inMemory, noise, someHello, tensorOfBytes } from './testing/fixtures.js';
import { startServer } from './testing/server.js';

const FAST = { upBitsPerSecond: 1e9, downBitsPerSecond: 1e9, roundTripMs: 2 };
const forever = new AbortController().signal;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function emulate(throttle: LinkThrottle = FAST): EmulatedLink {
  const link = new EmulatedLink(throttle);
  closing.push(() => link.close());
  return link;
}

function deferred<Value>() {
  let resolve!: (value: Value) => void;
  return { promise: new Promise<Value>((settle) => (resolve = settle)), resolve };
}

async function serve(accept: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, accept);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

it('carries every byte both ways, and both ends', async () => {
  const link = emulate({ ...FAST, downBitsPerSecond: Infinity });
  const port = await serve((socket) => socket.pipe(socket));
  const near = await link.to({ host: '127.0.0.1', port }, 'tensors');
  expect(await link.to({ host: '127.0.0.1', port }, 'tensors')).toEqual(near);
  const bytes = Buffer.from(noise(1_000_003, 3));
  const socket = connect(near);
  socket.end(bytes);
  const back: Buffer[] = [];
  for await (const data of socket) back.push(data as Buffer);
  expect(Buffer.concat(back).equals(bytes)).toBe(true);
});

it('a byte of a tensor takes as long as those that it stands for, and a decision does not wait for all of them', async () => {
  const link = emulate({ ...FAST, upBitsPerSecond: 8e6, standsFor: 500 });
  let received = 0;
  const [tensorsEnd, decisionsEnd] = [deferred<number>(), deferred<number>()];
  const ports = [
    await serve((socket) => socket.on('data', (data) => (received += data.length)).on('end', () => tensorsEnd.resolve(received))),
    await serve((socket) => socket.resume().on('end', () => decisionsEnd.resolve(received))),
  ] as const;
  const fromMs = performance.now();
  connect(await link.to({ host: '127.0.0.1', port: ports[0] }, 'tensors')).end(noise(1000, 5));
  connect(await link.to({ host: '127.0.0.1', port: ports[1] }, 'decisions')).end(noise(1000, 6));
  expect(await decisionsEnd.promise).toBeLessThan(1000);
  expect(await tensorsEnd.promise).toBe(1000);
  // 500 KB at 8 Mbit/s.
  expect(performance.now() - fromMs).toBeGreaterThan(500);
});

it('breaks when the other end does, and where nobody listens', async () => {
  const link = emulate();
  const port = await serve((socket) => socket.resetAndDestroy());
  for (const target of [port, await unusedPort()]) {
    const socket = connect(await link.to({ host: '127.0.0.1', port: target }, 'decisions'));
    socket.on('error', () => undefined);
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
  }
});

async function unusedPort(): Promise<number> {
  const port = await serve(() => undefined);
  await closing.pop()!();
  return port;
}

it.each(['a link', 'a limit'])('a session over %s maps no memory: what it sends is sent', async (what) => {
  const memory = createTensorMemory();
  const server = await startServer({ memory });
  closing.push(() => server.stop());
  const changes: Partial<DialOptions> = what === 'a link' ? { link: emulate() } : { uploadLimit: new UploadLimit(1e9) };
  const { connection } = await dial(server.listener.address, { hello: someHello('w'), crc32c, memory, signal: forever, ...changes });
  const session = await server.session(0);
  const bytes = inMemory(noise(3_000_000, 7), memory);
  connection.start({ message: () => undefined, tensor: () => undefined, closed: () => undefined });
  await connection.sendTensor(tensorOfBytes(bytes), forever);
  await session.connection.sendTensor(tensorOfBytes(bytes), forever);
  expect(Buffer.concat(session.chunks.map(({ payload }) => payload)).equals(bytes)).toBe(true);
  expect(session.connection.traffic.bytesReceived).toBeGreaterThan(bytes.length);
  expect(connection.traffic.bytesReceived).toBeGreaterThan(bytes.length);
  connection.close('done');
  expect(await session.closed).toBe('done');
});

it('a server behind a link is found at its ends', async () => {
  const server = await startServer({ link: emulate() });
  closing.push(() => server.stop());
  const { connection } = await dial(server.listener.address, { hello: someHello('w'), crc32c, signal: forever, link: emulate() });
  const session = await server.session(0);
  connection.start({ message: () => undefined, tensor: () => undefined, closed: () => undefined });
  const bytes = noise(300_000, 7);
  await connection.sendTensor(tensorOfBytes(bytes), forever);
  expect(Buffer.concat(session.chunks.map(({ payload }) => payload)).equals(bytes)).toBe(true);
});

it('a direct link goes over the links of both ends', async () => {
  const ends = await Promise.all([0, 1].map(() => openPeers({ crc32c, link: emulate() })));
  for (const end of ends) closing.push(() => end.close('the test is over'));
  const [a, b] = await Promise.all([ends[0]!.accept('a'.repeat(32), forever), ends[1]!.dial(ends[0]!.address, 'a'.repeat(32), forever)]);
  const got: Uint8Array[] = [];
  a.start({ tensor: ({ payload }) => void got.push(payload), closed: () => undefined });
  b.start({ tensor: () => undefined, closed: () => undefined });
  const bytes = noise(300_000, 5);
  await b.sendTensor(tensorOfBytes(bytes), forever);
  expect(Buffer.concat(got).equals(bytes)).toBe(true);
});
