import { randomUUID } from 'node:crypto';
import { BackOff, createRng, formatSeconds, isAway, LongtailError, type RunEvent, type StoredEvent } from '@longtail/core';
import { wallClock, type ControlClient } from '@longtail/transport/clients';

/** For so long a server that went away is looked for, as workers do. */
const AWAY_MS = 600_000;

/** Where a run's events come from: its server, or whoever has taken over from it. */
export class RunServer {
  private current: ControlClient;
  private epoch: number;
  /** That may have it, the likeliest first. */
  private addresses: readonly string[];

  constructor(private readonly first: ControlClient) {
    const { epoch, standbyAddress } = first.server;
    this.current = first;
    this.epoch = epoch;
    this.addresses = [standbyAddress, first.address].filter(Boolean);
  }

  get client(): ControlClient {
    return this.current;
  }

  /** A standby that may take over. */
  standby(address: string): void {
    this.addresses = [address, ...this.addresses.filter((known) => known !== address)];
  }

  /** Another connection to whoever is the server now. Throws LongtailError `unreachable`, `refused`, `protocol`. */
  async reconnect(signal: AbortSignal): Promise<void> {
    let problem: unknown;
    for (const address of this.addresses) {
      signal.throwIfAborted();
      try {
        const found = await this.first.reconnect(signal, address);
        // A standby has no epoch before it is the server; one that has been succeeded has an older one.
        if (found.server.epoch >= this.epoch) return this.take(found);
        found.close();
        problem ??= new LongtailError(`${address} is not the server`, { code: 'unreachable', where: address });
      } catch (error) {
        problem = error;
      }
    }
    throw problem;
  }

  /** The connection that was made last; the first one is whoever's it was. */
  close(): void {
    if (this.current !== this.first) this.current.close();
  }

  private take(found: ControlClient): void {
    this.close();
    this.current = found;
    this.epoch = found.server.epoch;
  }
}

/**
 * A run's events from its first on, as they come from the server; ends after the verdict. A server that goes away is looked
 * for with growing pauses, as is its standby, and followed from the event after the last one; `say` tells people. Throws LongtailError
 * `unreachable` or `timeout` when it stays away for ten minutes, or the signal's reason.
 */
export async function* watchRun(server: RunServer, run: string, say: (text: string) => void, signal: AbortSignal): AsyncGenerator<StoredEvent> {
  const backOff = new BackOff(createRng(randomUUID()));
  let last: StoredEvent | undefined;
  let awaySinceMs: number | undefined;
  try {
    for (;;) {
      let problem = 'it ended the connection';
      try {
        if (awaySinceMs !== undefined) await server.reconnect(signal);
        for await (const event of eventsFrom(server.client, run, (last?.seq ?? 0) + 1, signal)) {
          if (awaySinceMs !== undefined) say(`the server is back, at ${server.client.address}`);
          awaySinceMs = undefined;
          backOff.reset();
          if (event.body.event === 'standby') server.standby(event.body.address);
          yield (last = event);
        }
        if (last?.body.event === 'verdict') return;
      } catch (thrown) {
        const error = LongtailError.from(thrown);
        if (!isAway(error) || wallClock.nowMs() - (awaySinceMs ?? Infinity) > AWAY_MS) throw thrown;
        problem = error.message;
      }
      if (awaySinceMs === undefined) say(`the server is away: ${problem}; looking for it, for up to ${formatSeconds(AWAY_MS / 1000)}`);
      awaySinceMs ??= wallClock.nowMs();
      await wallClock.sleep(backOff.nextMs(), signal);
    }
  } finally {
    server.close();
  }
}

async function* eventsFrom(client: ControlClient, run: string, fromSeq: number, signal: AbortSignal): AsyncGenerator<StoredEvent> {
  for await (const { seq, timeMs, bodyJson } of client.watch({ run, fromSeq }, signal)) yield { seq, timeMs, body: JSON.parse(bodyJson) as RunEvent };
}
