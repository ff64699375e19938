import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { PROTOCOL_VERSION, encodeLinkFrame, type LinkFrame } from '@longtail/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as zmq from 'zeromq';
import { openChannel } from './channel.js';
import { CONTROL_METHODS } from './control-methods.js';
import { dial, EmulatedLink } from './index.js';
import { NO_SEGMENT } from './tensor-memory.js';
import { crc32c, noise, someHello, tensorOfBytes, welcomeMessage } from './testing/fixtures.js';
import { startServer, type SeenSession, type TestServer } from './testing/server.js';

let server: TestServer;
const signal = new AbortController().signal;
const cleanups: (() => void)[] = [];

beforeEach(async () => {
  server = await startServer();
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  await server.stop();
});

/** A worker that does as it should: the server lives. */
async function expectService(): Promise<void> {
  const { connection } = await dial(server.listener.address, { hello: someHello('honest'), crc32c, signal });
  const session = server.sessions.at(-1)!;
  await connection.sendTensor(tensorOfBytes(noise(10, 1)), signal);
  expect(session.chunks).toHaveLength(1);
  connection.close('done');
}

function dealer(): zmq.Dealer {
  const socket = new zmq.Dealer({ linger: 0 });
  socket.connect(`tcp://127.0.0.1:${server.listener.tensorPort}`);
  cleanups.push(() => socket.close());
  return socket;
}

/** A worker's session with a tensor link made by hand. */
async function openByHand(): Promise<{ socket: zmq.Dealer; session: number; seen: SeenSession }> {
  const client = await openChannel(server.listener.address, signal);
  cleanups.push(() => client.close());
  const { path, requestSerialize, responseDeserialize } = CONTROL_METHODS.session;
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  stream.on('error', () => undefined);
  const hello = someHello('by-hand');
  stream.write({ packet: 'message', message: { message: 'hello', hello } });
  const [packet] = await once(stream, 'data');
  const key: string = packet.message.welcome.tensorKey;
  const session = Number.parseInt(key.slice(0, 8), 16);
  const socket = dealer();
  await socket.send(encodeLinkFrame({ session, frame: 'open', open: { key, incarnation: hello.incarnation, segment: NO_SEGMENT } }));
  await socket.receive();
  await socket.send(encodeLinkFrame({ session, frame: 'ready', ready: { readsSegment: false } }));
  return { socket, session, seen: await server.session(0) };
}

function pieceOf(session: number, payload: Uint8Array, changes: Partial<Extract<LinkFrame, { frame: 'piece' }>['piece']> = {}): Uint8Array {
  const { header } = tensorOfBytes(payload);
  const bytes = payload.length;
  const frame = { step: 0, to: 0, ...header, kind: 'GRADIENT', chunk: 0, chunks: 1, offset: 0, length: bytes, crc: crc32c(payload) } as const;
  return encodeLinkFrame({ session, frame: 'piece', piece: { seq: 1, transfer: 1, header: frame, at: 0, bytes, total: bytes, position: 0, ...changes } });
}

describe('a stranger', () => {
  it.each(['tensorPort', 'port'] as const)('that writes noise to the %s does no harm', async (port) => {
    const socket = connectTcp(server.listener[port], '127.0.0.1');
    socket.on('error', () => undefined);
    cleanups.push(() => socket.destroy());
    await new Promise((resolve) => socket.write(noise(100_000, 7), resolve));
    await expectService();
  });

  it('that speaks ZeroMQ is dropped with a reason until it shows the key of a session', async () => {
    const socket = dealer();
    await socket.send(noise(50, 3));
    await server.drop(/cannot be read|LinkFrame/);
    await socket.send(noise(5_000, 3));
    await server.drop(/the limit is 4096/);
    const open = { key: '00'.repeat(16), incarnation: 'x', segment: NO_SEGMENT };
    await socket.send(encodeLinkFrame({ session: 0, frame: 'open', open }));
    await server.drop(/the key of no session/);
    await socket.send([pieceOf(0, noise(10, 1)), noise(10, 1)]);
    await server.drop(/"piece" from a peer without a session/);
    await expectService();
  });

  it('that opens a stream without hello is refused', async () => {
    const client = await openChannel(server.listener.address, signal);
    cleanups.push(() => client.close());
    const { path, requestSerialize, responseDeserialize } = CONTROL_METHODS.session;
    const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    stream.write({ packet: 'message', message: { message: 'leave', leave: { reason: 'x' } } });
    const [packet] = await once(stream, 'data');
    expect(packet.message.refused).toMatchObject({ code: 'protocol', message: 'a session begins with hello' });
    await server.drop(/begins with hello/);
    await expectService();
  });
});

describe('a worker that breaks the protocol loses its session, not the server', () => {
  it('after a chunk whose bytes changed', async () => {
    const { socket, session, seen } = await openByHand();
    const sent = noise(1_000, 1);
    const arrived = sent.slice();
    arrived[500] ^= 1;
    await socket.send([pieceOf(session, sent), arrived]);
    expect(await seen.closed).toContain('CRC-32C');
    expect(seen.chunks).toEqual([]);
    await expectService();
  });

  it('after a truncated payload', async () => {
    const { socket, session, seen } = await openByHand();
    await socket.send([pieceOf(session, noise(1_000, 1)), noise(999, 1)]);
    expect(await seen.closed).toContain('a piece of 1000 bytes came with 999');
    await expectService();
  });

  it('after a truncated frame', async () => {
    const { socket, session, seen } = await openByHand();
    await socket.send([pieceOf(session, noise(1_000, 1)).subarray(0, 20), noise(1_000, 1)]);
    expect(await seen.closed).toContain('LinkFrame cannot be read');
    await expectService();
  });

  it('after a piece out of its place', async () => {
    const { socket, session, seen } = await openByHand();
    await socket.send([pieceOf(session, noise(1_000, 1), { at: 500, total: 2_000 }), noise(1_000, 1)]);
    expect(await seen.closed).toContain('does not follow');
    await expectService();
  });

  it('after a place in a segment that it does not have', async () => {
    const { socket, session, seen } = await openByHand();
    await socket.send(pieceOf(session, noise(1_000, 1), { position: 4_096 }));
    expect(await seen.closed).toContain('lies at 4096');
    await expectService();
  });

  it('but a frame of another session is only dropped', async () => {
    const { socket, session, seen } = await openByHand();
    await socket.send([pieceOf(session ^ 1, noise(10, 1)), noise(10, 1)]);
    await server.drop(/another session/);
    await socket.send([pieceOf(session, noise(10, 2)), noise(10, 2)]);
    await seen.when(() => seen.chunks.length === 1);
    expect(seen.chunks[0]!.payload).toEqual(Buffer.from(noise(10, 2)));
  });
});

describe('dialling', () => {
  it('is refused in another protocol version, with the remedy', async () => {
    const hello = someHello('old', { protocol: PROTOCOL_VERSION - 1 });
    await expect(dial(server.listener.address, { hello, crc32c, signal })).rejects.toMatchObject({
      code: 'protocol',
      message: `the worker speaks protocol ${PROTOCOL_VERSION - 1}, this side speaks ${PROTOCOL_VERSION}`,
      hint: expect.stringContaining('Update the worker'),
    });
  });

  it('fails with the reason of a server that refuses', async () => {
    const picky = await startServer({
      onSession: (connection) => {
        connection.send({ message: 'refused', refused: { code: 'refused', message: 'no GPU', hint: 'bring one', where: '' } });
        connection.close('refused');
      },
    });
    await expect(dial(picky.listener.address, { hello: someHello('w'), crc32c, signal })).rejects.toMatchObject({ code: 'refused', message: 'no GPU', hint: 'bring one' });
    await picky.stop();
  });

  it('says at once that nobody listens, and where', async () => {
    const { address } = server.listener;
    await server.stop();
    await expect(dial(address, { hello: someHello('w'), crc32c, signal })).rejects.toMatchObject({ code: 'unreachable', where: address, hint: expect.any(String) });
  });

  it('fails when the tensor port is closed to it', async () => {
    const wrong = await startServer({
      onSession: (connection) => connection.send(welcomeMessage('n1')),
      tensorPort: 0,
    });
    await expect(dial(wrong.listener.address.replace(/^127.0.0.1/, 'nowhere.invalid'), { hello: someHello('w'), crc32c, signal })).rejects.toMatchObject({ code: 'unreachable' });
    await wrong.stop();
  });

  it('ends with the reason of its signal', async () => {
    const silent = await startServer({ onSession: () => undefined });
    const abort = new AbortController();
    const dialled = dial(silent.listener.address, { hello: someHello('w'), crc32c, signal: abort.signal });
    const ended = expect(dialled).rejects.toThrow('changed my mind');
    setImmediate(() => abort.abort(new Error('changed my mind')));
    await ended;
    await silent.stop();
  });

  it('refuses an address that is none', async () => {
    await expect(dial('localhost', { hello: someHello('w'), crc32c, signal })).rejects.toMatchObject({ code: 'usage', hint: expect.stringContaining('HOST:PORT') });
  });
});

describe('listening', () => {
  it('names the port that is in use and the flag that changes it', async () => {
    const { port, tensorPort } = server.listener;
    await expect(startServer({ port })).rejects.toMatchObject({ code: 'address-in-use', message: `port ${port} on 127.0.0.1 is in use`, hint: expect.stringContaining('--port') });
    await expect(startServer({ tensorPort })).rejects.toMatchObject({ code: 'address-in-use', hint: 'End the program that listens there, or choose another port with --port: tensors take the one after it.' });
  });

  it('leaves no port taken where it cannot begin, or is stopped meanwhile', async () => {
    const { port, tensorPort } = server.listener;
    await server.stop();
    const stop = new AbortController();
    const stopped = startServer({ port, tensorPort, signal: stop.signal });
    stop.abort(new Error('no longer wanted'));
    await expect(stopped).rejects.toThrow('no longer wanted');
    const link = new EmulatedLink({ upBitsPerSecond: Infinity, downBitsPerSecond: Infinity, roundTripMs: 0 });
    await expect(startServer({ port, tensorPort, link, host: '203.0.113.1' })).rejects.toMatchObject({ code: 'unreachable' });
    link.close();
    server = await startServer({ port, tensorPort });
    await expectService();
  });

  it('frees its ports when closed', async () => {
    const { port, tensorPort } = server.listener;
    await server.stop();
    server = await startServer({ port, tensorPort });
    await expectService();
  });
});
