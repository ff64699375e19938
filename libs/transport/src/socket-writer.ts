import { setImmediate as afterIo } from 'node:timers/promises';

interface MessageSocket {
  send(parts: Uint8Array[]): Promise<void>;
}

/** ZeroMQ answers up to 512 queued operations without returning to the event loop: after so many messages timers and other sockets get a turn. */
export const MESSAGES_A_TURN = 16;

/**
 * Sends messages one after the other, as a ZeroMQ socket asks. Sockets have no high-water mark of their own: what is queued is bounded
 * by the links' windows. A message that cannot be sent goes to `undeliverable` and the next one is tried.
 */
export class SocketWriter {
  private readonly queue: Uint8Array[][] = [];
  private writing = false;
  private closed = false;

  constructor(
    private readonly socket: MessageSocket,
    private readonly undeliverable: (parts: Uint8Array[], error: unknown) => void,
  ) {}

  post(parts: Uint8Array[]): void {
    if (this.closed) return;
    this.queue.push(parts);
    if (!this.writing) void this.write();
  }

  close(): void {
    this.closed = true;
    this.queue.length = 0;
  }

  private async write(): Promise<void> {
    this.writing = true;
    let sent = 0;
    for (let parts = this.queue.shift(); parts !== undefined; parts = this.queue.shift()) {
      try {
        await this.socket.send(parts);
      } catch (error) {
        if (!this.closed) this.undeliverable(parts, error);
      }
      if (++sent % MESSAGES_A_TURN === 0) await afterIo();
    }
    this.writing = false;
  }
}
