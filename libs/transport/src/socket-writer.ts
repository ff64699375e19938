import { setImmediate as afterIo } from 'node:timers/promises';

interface MessageSocket {
  send(parts: Uint8Array[]): Promise<void>;
}

/** ZeroMQ answers up to 512 queued operations without returning to the event loop: after so many messages timers and other sockets get a turn. */
export const MESSAGES_A_TURN = 16;

/** Bytes of one message beside the last piece that is put into it. */
const BATCH_BYTES = 64 * 1024;

interface Outbox {
  readonly routing: readonly Uint8Array[];
  /** Parts of messages not sent yet, in order. */
  readonly messages: Uint8Array[][];
  /** Bytes in the last of them. */
  lastBytes: number;
}

/**
 * Sends link frames as ZeroMQ messages, one send after the other, as a socket asks. What is posted to a peer in one turn of the event loop
 * travels as one message: a message costs more than the few frames in it. Sockets have no high-water mark of their own: what is queued
 * is bounded by the links' windows.
 */
export class SocketWriter {
  private readonly outboxes = new Map<string, Outbox>();
  private writing = false;
  private closed = false;

  constructor(
    private readonly socket: MessageSocket,
    /** A message could not be sent; the next one is tried. */
    private readonly undeliverable: (peer: string, error: unknown) => void,
  ) {}

  /** `routing` are the parts that address the peer: a ROUTER's routing id, nothing for a DEALER. */
  post(peer: string, routing: readonly Uint8Array[], parts: readonly Uint8Array[]): void {
    if (this.closed) return;
    let outbox = this.outboxes.get(peer);
    if (outbox === undefined) this.outboxes.set(peer, (outbox = { routing, messages: [], lastBytes: 0 }));
    const last = outbox.messages.at(-1);
    if (last === undefined || outbox.lastBytes >= BATCH_BYTES) {
      outbox.messages.push([...routing, ...parts]);
      outbox.lastBytes = 0;
    } else {
      last.push(...parts);
    }
    for (const part of parts) outbox.lastBytes += part.length;
    if (!this.writing) void this.write();
  }

  /** Resolves when ZeroMQ has all that was posted. */
  async drained(): Promise<void> {
    while (this.writing && !this.closed) await afterIo();
  }

  close(): void {
    this.closed = true;
    this.outboxes.clear();
  }

  private async write(): Promise<void> {
    this.writing = true;
    await afterIo();
    for (let sent = 1; this.outboxes.size > 0; sent++) {
      const [peer, outbox] = this.outboxes.entries().next().value!;
      const parts = outbox.messages.shift()!;
      // To the end of the line: peers take turns.
      this.outboxes.delete(peer);
      if (outbox.messages.length > 0) this.outboxes.set(peer, outbox);
      try {
        await this.socket.send(parts);
      } catch (error) {
        if (!this.closed) this.undeliverable(peer, error);
      }
      if (sent % MESSAGES_A_TURN === 0) await afterIo();
    }
    this.writing = false;
  }
}
