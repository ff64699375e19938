import { setImmediate as afterIo } from 'node:timers/promises';
import { MESSAGES_A_TURN } from './socket-writer.js';

interface Readable {
  readonly closed: boolean;
  receive(): Promise<Buffer[]>;
}

/** Hands over every message of a socket, until that is closed; after some of them it is the turn of whatever else waits. */
export async function readMessages(socket: Readable, heed: (parts: Buffer[]) => void): Promise<void> {
  for (let count = 1; !socket.closed; count++) {
    let parts: Buffer[];
    try {
      parts = await socket.receive();
    } catch {
      return;
    }
    heed(parts);
    if (count % MESSAGES_A_TURN === 0) await afterIo();
  }
}
