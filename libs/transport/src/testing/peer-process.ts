// A server or a worker in a process of its own, led by the test that forked it (./peer.ts): it can be killed, stopped and blocked.
import { createHash } from 'node:crypto';
import type { Connection, OutgoingTensor, PeerLink } from '@longtail/core';
import { createTensorMemory, dial, listen, openPeers } from '../index.js';
import { crc32c, idleControl, inMemory, noise, someHello, tensorOfBytes, welcomeMessage } from './fixtures.js';
import type { PeerCommand, PeerOptions, PeerReport } from './peer.js';

const options = JSON.parse(process.argv[2]!) as PeerOptions;
const stop = new AbortController();
const memory = options.sameHost ? createTensorMemory() : undefined;

function report(line: PeerReport): void {
  process.send!(line);
}

function attend<Send, Receive>(connection: Connection<Send, Receive> | PeerLink): void {
  let hash = createHash('sha256');
  let bytes = 0;
  connection.start({
    message: () => report({ event: 'message' }),
    tensor: ({ header, payload }) => {
      if (options.takesNothing === true) return new Promise(() => undefined);
      hash.update(payload);
      bytes += payload.length;
      if (header.chunk + 1 < header.chunks) return;
      report({ event: 'tensor', bytes, sha256: hash.digest('hex') });
      hash = createHash('sha256');
      bytes = 0;
    },
    closed: (reason) => report({ event: 'closed', reason }),
  });
  process.on('message', (command: PeerCommand) => {
    if (command.do === 'block') block(command.ms);
    if (command.do === 'memory') report({ event: 'memory', bytes: process.memoryUsage().rss });
    if (command.do === 'send') send(connection, tensorOfBytes(inMemory(noise(command.bytes, command.seed), memory)));
  });
}

function send(connection: Pick<PeerLink, 'sendTensor'>, tensor: OutgoingTensor): void {
  connection.sendTensor(tensor, stop.signal).then(
    () => report({ event: 'sent' }),
    (error: unknown) => report({ event: 'unsent', reason: String(error) }),
  );
}

/** As native compute on the main thread would. */
function block(ms: number): void {
  report({ event: 'blocking' });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

async function work(address: string): Promise<void> {
  const { connection } = await dial(address, { hello: someHello(options.name), crc32c, memory, signal: stop.signal });
  attend(connection);
  report({ event: 'ready', address });
}

async function neighbour(key: string, address: string | undefined): Promise<void> {
  const peers = await openPeers({ crc32c });
  if (address === undefined) report({ event: 'ready', address: peers.address });
  attend(address === undefined ? await peers.accept(key, stop.signal) : await peers.dial(address, key, stop.signal));
  if (address !== undefined) report({ event: 'ready', address: peers.address });
}

async function serve(): Promise<void> {
  const listener = await listen({
    port: 0,
    crc32c,
    memory,
    control: idleControl(),
    signal: stop.signal,
    onSession: (connection) => {
      connection.send(welcomeMessage('n1'));
      attend(connection);
    },
  });
  report({ event: 'ready', address: listener.address });
}

// A leader that died is not waited for.
process.on('disconnect', () => process.exit());
const { address, linkKey } = options;
await (linkKey !== undefined ? neighbour(linkKey, address) : address === undefined ? serve() : work(address));
