import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { SERVER_NAME, type OutgoingTensor, type PeerLink } from '@longtail/core';
import { createCurveKeys, dial, openPeers } from '@longtail/transport';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startServer } from './start-server.js';
import { AccessServer, crc32c, signal, someHello } from './testing/access-server.js';

let server: AccessServer;

beforeEach(async () => {
  server = await AccessServer.open();
});
afterEach(() => server.close());

describe('tensors', () => {
  it('of a session arrive over CURVE', async () => {
    const connection = await server.work(await server.enrolled('node'));
    const bytes = Uint8Array.from({ length: 3 << 20 }, (_, i) => i * 31);
    await connection.sendTensor(tensorOf(bytes), signal);
    await server.sessions[0]!.arrived;
    expect(Buffer.concat(server.sessions[0]!.received).equals(bytes)).toBe(true);
  });

  it.each([
    ['with another key', createCurveKeys()],
    ['in the clear', undefined],
  ])('reach nothing from a stranger who has learnt what the session shows, but comes %s', async (_how, curve) => {
    const { connection, welcome } = await dial(server.listener.address, { hello: someHello(), crc32c, security: { credentials: await server.enrolled('node'), curve: createCurveKeys() }, signal });
    server.cleanups.push(() => connection.close('the test is over'));
    const stranger = await openPeers({ crc32c, curve });
    server.cleanups.push(() => stranger.close('the test is over'));
    const dialled = stranger.dial(`127.0.0.1:${server.listener.tensorPort}`, welcome.tensorKey, signal, welcome.tensorCurveKey);
    await expect(dialled).rejects.toMatchObject({ message: expect.stringContaining('the connection broke') });
    expect(server.dropped).toEqual([]);
  });

  it('go over a direct link between the keys that the server told, and no others', async () => {
    const [near, far, stranger] = [createCurveKeys(), createCurveKeys(), createCurveKeys()];
    const ends = await Promise.all([near, far, stranger].map((curve) => openPeers({ crc32c, curve })));
    server.cleanups.push(...ends.map((end) => () => end.close('the test is over')));
    const key = 'ab'.repeat(16);
    // The one that dials is the first to know.
    const dialled = ends[1]!.dial(ends[0]!.address, key, signal, near.publicKey);
    const [accepted, link] = await Promise.all([ends[0]!.accept(key, signal, far.publicKey), dialled]);
    const arrived = new Promise<Uint8Array>((resolve) => accepted.start({ tensor: ({ payload }) => resolve(payload), closed: () => undefined }));
    (link as PeerLink).start({ tensor: () => undefined, closed: () => undefined });
    await link.sendTensor(tensorOf(Uint8Array.of(1, 2, 3)), signal);
    expect([...(await arrived)]).toEqual([1, 2, 3]);

    const other = 'cd'.repeat(16);
    const limit = new AbortController();
    const waiting = expect(ends[0]!.accept(other, limit.signal, far.publicKey)).rejects.toThrow('enough');
    await expect(ends[2]!.dial(ends[0]!.address, other, AbortSignal.any([limit.signal, AbortSignal.timeout(500)]), near.publicKey)).rejects.toThrow();
    limit.abort(new Error('enough'));
    await waiting;
  });
});

it('lets few strangers in at a time, and none of them keeps others out who have enrolled', async () => {
  const who = await server.enrolled('viewer');
  const sockets = Array.from({ length: 80 }, () => connect(server.listener.port, '127.0.0.1'));
  server.cleanups.push(() => sockets.forEach((socket) => socket.destroy()));
  let refused = 0;
  for (const socket of sockets) socket.on('error', () => undefined).once('close', () => refused++);
  await Promise.all(sockets.slice(64).map((socket) => once(socket, 'close')));
  expect(refused).toBe(16);
  for (const socket of sockets) socket.destroy();
  await server.asking(who, (client) => client.listNodes(signal));
});

it('lets an identity have so many connections, and another one when one has ended', async () => {
  await server.listener.close('it is started with less room');
  await server.serve(8);
  const { authority: ca, certificate: cert, privateKey: key } = await server.enrolled('viewer');
  const sockets: TLSSocket[] = [];
  server.cleanups.push(() => sockets.forEach((socket) => socket.destroy()));
  const open = (): Promise<string> => {
    const socket = connectTls({ port: server.listener.port, ca, cert, key, servername: SERVER_NAME, ALPNProtocols: ['h2'], minVersion: 'TLSv1.3' });
    sockets.push(socket.on('error', () => undefined));
    // Whoever is in is told gRPC's settings.
    return new Promise((resolve) => socket.once('data', () => resolve('in')).once('close', () => resolve('out')));
  };
  for (let count = 1; count <= 8; count++) expect(await open()).toBe('in');
  expect(await open()).toBe('out');
  expect(server.dropped).toEqual([expect.stringContaining('has 8 connections already')]);
  sockets[0]!.destroy();
  expect(await open()).toBe('in');
});

it.each(['0.0.0.0', '127.example.org'])('does not listen on %s, beyond this machine, without certificates', async (host) => {
  const open = startServer({ host, port: 0, runsFolder: server.folder, database: server.database, version: '', insecure: false, log: pino({ level: 'silent' }) });
  await expect(open).rejects.toMatchObject({ code: 'usage', hint: expect.stringContaining('--tls') });
});

function tensorOf(bytes: Uint8Array): OutgoingTensor {
  const header = { run: 'r', kind: 'gradient', stage: 0, fragment: 0, task: 1, round: 1, baseVersion: 0, samples: 1, codec: 0, name: '', start: 0 } as const;
  return { header, length: bytes.length, chunkLength: 1 << 20, chunk: (offset, length) => bytes.subarray(offset, offset + length) };
}
