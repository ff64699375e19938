import { randomUUID } from 'node:crypto';
import { BackOff, createRng, formatSeconds, isAway, LongtailError, type RunEvent, type StoredEvent } from '@longtail/core';
import { wallClock, type ControlClient } from '@longtail/transport';

/** For so long a server that went away is looked for, as workers do. */
const AWAY_MS = 600_000;

/**
 * A run's events from its first on, as they come from the server; ends after the verdict. A server that goes away is looked
 * for with growing pauses, and followed from the event after the last one; `say` tells people. Throws LongtailError
 * `unreachable` or `timeout` when it stays away for ten minutes, or the signal's reason.
 */
export async function* watchRun(client: ControlClient, run: string, say: (text: string) => void, signal: AbortSignal): AsyncGenerator<StoredEvent> {
  const backOff = new BackOff(createRng(randomUUID()));
  let last: StoredEvent | undefined;
  let awaySinceMs: number | undefined;
  for (let own: ControlClient | undefined; ; ) {
    let problem = 'it ended the connection';
    try {
      if (awaySinceMs !== undefined) own = await client.reconnect(signal);
      for await (const event of eventsFrom(own ?? client, run, (last?.seq ?? 0) + 1, signal)) {
        if (awaySinceMs !== undefined) say('the server is back');
        awaySinceMs = undefined;
        backOff.reset();
        yield (last = event);
      }
      if (last?.body.event === 'verdict') return;
    } catch (thrown) {
      const error = LongtailError.from(thrown);
      if (!isAway(error) || wallClock.nowMs() - (awaySinceMs ?? Infinity) > AWAY_MS) throw thrown;
      problem = error.message;
    } finally {
      own?.close();
      own = undefined;
    }
    if (awaySinceMs === undefined) say(`the server is away: ${problem}; looking for it, for up to ${formatSeconds(AWAY_MS / 1000)}`);
    awaySinceMs ??= wallClock.nowMs();
    await wallClock.sleep(backOff.nextMs(), signal);
  }
}

async function* eventsFrom(client: ControlClient, run: string, fromSeq: number, signal: AbortSignal): AsyncGenerator<StoredEvent> {
  for await (const { seq, timeMs, bodyJson } of client.watch({ run, fromSeq }, signal)) yield { seq, timeMs, body: JSON.parse(bodyJson) as RunEvent };
}
