import { setTimeout as delay } from 'node:timers/promises';
import { isMeasured } from '@longtail/planner';
import type { ControlClient } from '@longtail/transport';

const LOOK_EVERY_MS = 100;
/** Of a link no more is known then than that it is slow. */
const MEASURED_WITHIN_MS = 60_000;

/** Resolves when the server has measured the links of all who are to come, or that takes too long: it would take from the links while they train. */
export async function untilMeasured(client: Pick<ControlClient, 'listNodes'>, count: number, signal: AbortSignal): Promise<void> {
  for (const untilMs = performance.now() + MEASURED_WITHIN_MS; performance.now() < untilMs; await delay(LOOK_EVERY_MS, undefined, { signal })) {
    const { nodes } = await client.listNodes(signal);
    if (nodes.filter(({ link }) => isMeasured(link)).length === count) return;
  }
}
