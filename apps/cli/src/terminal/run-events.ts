import type { RunEvent, StoredEvent } from '@longtail/core';
import type { ControlClient } from '@longtail/transport';

/** A run's events from its first on, as they come from the server; ends after the verdict. */
export async function* watchRun(client: ControlClient, run: string, signal: AbortSignal): AsyncGenerator<StoredEvent> {
  for await (const { seq, timeMs, bodyJson } of client.watch({ run, fromSeq: 1 }, signal)) {
    yield { seq, timeMs, body: JSON.parse(bodyJson) as RunEvent };
  }
}
