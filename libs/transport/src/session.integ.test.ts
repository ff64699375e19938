import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { createTensorMemory, dial } from './index.js';
import { nativeMemory } from './native-memory.js';
import { crc32c, inMemory, noise, someHello, tensorOfBytes } from './testing/fixtures.js';
import { Peer, type PeerOptions } from './testing/peer.js';
import { startServer, type TestServer } from './testing/server.js';

const MIB = 1024 * 1024;

const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function server(...options: Parameters<typeof startServer>): Promise<TestServer> {
  const started = await startServer(...options);
  cleanups.push(() => started.stop());
  return started;
}

async function peer(options: PeerOptions): Promise<{ peer: Peer; address: string }> {
  const started = await Peer.start(options);
  cleanups.push(() => started.peer.kill());
  return started;
}

describe.each([{ sameHost: true }, { sameHost: false }])('a session between processes, sameHost: $sameHost', ({ sameHost }) => {
  const memory = sameHost ? createTensorMemory() : undefined;
  const shared = (bytes: Uint8Array): Uint8Array => inMemory(bytes, memory);

  it('carries 32 MB each way, bit for bit', async () => {
    const { listener, session } = await server({ memory });
    const { peer: worker } = await peer({ name: 'w', address: listener.address, sameHost });
    const { connection, chunks, when } = await session(0);
    const down = shared(noise(32e6, 1));
    await connection.sendTensor(tensorOfBytes(down), new AbortController().signal);
    expect(await worker.next('tensor')).toEqual({ event: 'tensor', bytes: down.length, sha256: sha256([down]) });
    worker.tell({ do: 'send', bytes: 32e6, seed: 2 });
    await worker.next('sent');
    await when(() => chunks.length === Math.ceil(32e6 / MIB));
    expect(sha256(chunks.map(({ payload }) => payload))).toBe(sha256([noise(32e6, 2)]));
  });

  it('notices a killed worker, and its successor of the same name gets nothing stale', async () => {
    const { listener, session, sessions } = await server({ memory });
    const first = await peer({ name: 'twin', address: listener.address, sameHost, takesNothing: true });
    const before = await session(0);
    const undelivered = before.connection.sendTensor(tensorOfBytes(shared(noise(50 * MIB, 1))), new AbortController().signal);
    const failed = expect(undelivered).rejects.toMatchObject({ code: 'unreachable' });
    await first.peer.kill();
    expect(await before.closed).toContain('lost');
    await failed;

    const second = await peer({ name: 'twin', address: listener.address, sameHost });
    const after = await session(1);
    await after.connection.sendTensor(tensorOfBytes(shared(noise(3 * MIB, 2))), new AbortController().signal);
    expect(await second.peer.next('tensor')).toEqual({ event: 'tensor', bytes: 3 * MIB, sha256: sha256([noise(3 * MIB, 2)]) });
    expect(sessions).toHaveLength(2);
  });

  it('notices a killed server', async () => {
    const remote = await peer({ name: 's', sameHost });
    const { connection } = await dial(remote.address, { hello: someHello('w'), crc32c, memory, signal: new AbortController().signal });
    const closed = new Promise<string>((resolve) => connection.start({ message: () => undefined, tensor: () => undefined, closed: resolve }));
    const undelivered = connection.sendTensor(tensorOfBytes(shared(noise(50 * MIB, 1))), new AbortController().signal);
    const failed = expect(undelivered).rejects.toMatchObject({ code: 'unreachable' });
    await remote.peer.kill();
    expect(await closed).toContain(remote.address);
    await failed;
  });

  it('holds little of a tensor that the peer does not take, at both ends', async () => {
    const { listener, session } = await server({ memory });
    const { peer: worker } = await peer({ name: 'slow', address: listener.address, sameHost, takesNothing: true });
    const { connection } = await session(0);
    worker.tell({ do: 'memory' });
    const before = (await worker.next('memory')).bytes;
    const abort = new AbortController();
    let asked = 0;
    const chunk = (): Uint8Array => shared(noise(MIB, ++asked));
    const sent = connection.sendTensor({ ...tensorOfBytes(new Uint8Array(0)), length: 1000 * MIB, chunk }, abort.signal);
    const givenUp = expect(sent).rejects.toThrow('enough');
    // How much is on its way depends on what the link was seen to carry; it is stuck when it asks for no more.
    for (let seen = -1, turns = 0; asked === 0 || turns < 50; turns = asked === seen ? turns + 1 : 0) {
      seen = asked;
      worker.tell({ do: 'memory' });
      expect((await worker.next('memory')).bytes - before).toBeLessThan(64 * MIB);
    }
    expect(asked).toBeLessThan(20);
    abort.abort(new Error('enough'));
    await givenUp;
  });
});

describe.runIf(nativeMemory() !== undefined)('memory shared by processes', () => {
  const memory = createTensorMemory();

  it('leaves nothing behind when either end is killed', async () => {
    const down = inMemory(noise(MIB, 1), memory);
    const before = segments();
    const ofPeers = (): string[] => segments().filter((name) => !before.includes(name));
    const { listener, session } = await server({ memory });
    const { peer: worker } = await peer({ name: 'w', address: listener.address, sameHost: true });
    const { connection, closed } = await session(0);
    await connection.sendTensor(tensorOfBytes(down), new AbortController().signal);
    expect(ofPeers()).toHaveLength(1);
    await worker.kill();
    await closed;
    expect(ofPeers()).toEqual([]);

    const remote = await peer({ name: 's', sameHost: true });
    const { connection: dialled } = await dial(remote.address, { hello: someHello('w'), crc32c, memory, signal: new AbortController().signal });
    const lost = new Promise((resolve) => dialled.start({ message: () => undefined, tensor: () => undefined, closed: resolve }));
    expect(ofPeers()).toHaveLength(1);
    await remote.peer.kill();
    await lost;
    expect(ofPeers()).toEqual([]);
    // What others have there, as PostgreSQL, comes and goes.
    expect(readdirSync('/dev/shm').filter((name) => name.startsWith('longtail-'))).toEqual([]);
  });

  it('is read after the process that filled it was killed', async () => {
    const { listener, session } = await server({ memory }, true);
    const { peer: worker } = await peer({ name: 'w', address: listener.address, sameHost: true });
    const { connection, chunks, closed, when } = await session(0);
    worker.tell({ do: 'send', bytes: MIB, seed: 3 });
    await when(() => chunks.length === 1);
    await worker.kill();
    await closed;
    expect(sha256([chunks[0]!.payload])).toBe(sha256([noise(MIB, 3)]));
    connection.close('the test is over');
  });

  it('is not needed: a worker without it gets and sends the same bytes', async () => {
    const { listener, session } = await server({ memory });
    const { peer: worker } = await peer({ name: 'w', address: listener.address, sameHost: false });
    const { connection, chunks, when } = await session(0);
    const down = inMemory(noise(3 * MIB, 1), memory);
    await connection.sendTensor(tensorOfBytes(down), new AbortController().signal);
    expect(await worker.next('tensor')).toMatchObject({ sha256: sha256([down]) });
    worker.tell({ do: 'send', bytes: MIB, seed: 2 });
    await when(() => chunks.length === 1);
    expect(sha256([chunks[0]!.payload])).toBe(sha256([noise(MIB, 2)]));
  });
});

/** Names of those that this process has mapped. */
function segments(): readonly string[] {
  return [...new Set(readFileSync('/proc/self/maps', 'latin1').match(/memfd:longtail-[0-9a-f]+/g))];
}

describe('a session and time', () => {
  it.concurrent('outlives a worker that is blocked for 6 s', async () => {
    const started = await startServer();
    const { peer: worker } = await Peer.start({ name: 'busy', address: started.listener.address, sameHost: true });
    const { connection } = await started.session(0);
    worker.tell({ do: 'block', ms: 6_000 });
    await worker.next('blocking');
    await connection.sendTensor(tensorOfBytes(noise(MIB, 1)), new AbortController().signal);
    expect(await worker.next('tensor')).toMatchObject({ bytes: MIB });
    await worker.kill();
    await started.stop();
  });

  it.concurrent('ends when the worker falls silent', async () => {
    const started = await startServer();
    const { peer: worker } = await Peer.start({ name: 'silent', address: started.listener.address, sameHost: true });
    const { closed } = await started.session(0);
    worker.signal('SIGSTOP');
    await closed;
    await worker.kill();
    await started.stop();
  });

  it.concurrent('ends when the server falls silent', async () => {
    const { peer: remote, address } = await Peer.start({ name: 's', sameHost: true });
    const { connection } = await dial(address, { hello: someHello('w'), crc32c, signal: new AbortController().signal });
    const closed = new Promise<string>((resolve) => connection.start({ message: () => undefined, tensor: () => undefined, closed: resolve }));
    remote.signal('SIGSTOP');
    await closed;
    await remote.kill();
  });
});

function sha256(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}
