import type { Connection } from '@longtail/core';
import { connectionConformance, type ConnectionPair } from '@longtail/testing';
import type { ServerMessage, WorkerMessage } from '@longtail/protocol';
import { createTensorMemory, dial, listen } from './index.js';
import { crc32c, idleControl, someHello, welcomeMessage } from './testing/fixtures.js';

for (const sameHost of [true, false]) {
  connectionConformance<WorkerMessage, ServerMessage>(sameHost ? 'A session on one host' : 'A session over TCP', {
    open: () => openPair(sameHost),
    leftMessage: (number) => ({ message: 'fileRequest', fileRequest: { sha256: String(number) } }),
    rightMessage: (number) => ({ message: 'release', release: { run: 'r', reason: String(number) } }),
  });
}

async function openPair(sameHost: boolean): Promise<ConnectionPair<WorkerMessage, ServerMessage>> {
  const stop = new AbortController();
  const memory = sameHost ? createTensorMemory() : undefined;
  let right: Connection<ServerMessage, WorkerMessage> | undefined;
  const listener = await listen({
    port: 0,
    crc32c,
    memory,
    control: idleControl(),
    signal: stop.signal,
    onSession: (connection) => {
      right = connection;
      connection.send(welcomeMessage('n1'));
    },
  });
  const { connection } = await dial(listener.address, { hello: someHello('w1'), crc32c, memory, signal: stop.signal });
  const dispose = async (): Promise<void> => {
    connection.close('the test is over');
    await listener.close('the test is over');
    memory?.close();
  };
  return { left: connection, right: right!, dispose };
}
