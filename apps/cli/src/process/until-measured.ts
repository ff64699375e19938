import { isMeasured } from '@longtail/planner';
import { wallClock, type ControlClient } from '@longtail/transport';

const LOOK_EVERY_MS = 100;
/** The next link, as they are measured one after the other; of one that takes longer no more is known than that it is slow. */
const MEASURED_WITHIN_MS = 15_000;

/** Resolves when the server has measured the links of all who are to come, or that takes too long: it would take from the links while they train. */
export async function untilMeasured(client: Pick<ControlClient, 'listNodes'>, count: number, signal: AbortSignal): Promise<void> {
  let measured = 0;
  for (let untilMs = wallClock.nowMs() + MEASURED_WITHIN_MS; wallClock.nowMs() < untilMs; await wallClock.sleep(LOOK_EVERY_MS, signal)) {
    const { nodes } = await client.listNodes(signal);
    const now = nodes.filter(({ link }) => isMeasured(link)).length;
    if (now === count) return;
    if (nodes.length < count || now > measured) untilMs = wallClock.nowMs() + MEASURED_WITHIN_MS;
    measured = now;
  }
}
