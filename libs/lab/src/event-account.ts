import type { RunEvent, StoredEvent } from '@longtail/core';
import type { Activity, ActivitySpan, FleetAccount, NodeAccount } from '@longtail/simulator';

type Contribution = Extract<RunEvent, { readonly event: 'contribution' }>;

const WINDOWS = 60;
/** As long as a node takes on average for so many contributions is shown, from the middle of the run. */
const SHOWN = 4;

/** What nodes were at as far as the events of a live run tell: computing in one piece, between receiving and sending. Bytes are all that the run moved. */
export function accountOfEvents(events: readonly StoredEvent[], names: readonly string[], { startMs, endMs }: { readonly startMs: number; readonly endMs: number }): FleetAccount {
  const windowMs = (endMs - startMs) / WINDOWS || 1;
  const all = events.flatMap(({ body }) => (body.event === 'contribution' ? [body] : []));
  const shownMs = Math.min(endMs - startMs, (SHOWN * names.length * (endMs - startMs)) / (all.length || 1));
  const shown = { fromMs: (startMs + endMs - shownMs) / 2, toMs: (startMs + endMs + shownMs) / 2 };
  const nodes = names.map((name) => nodeAccount(name, all.filter((contribution) => contribution.name === name), { startMs, endMs, windowMs, shown }));
  return { nodes: withAllBytes(nodes, events), windowMs, spansFromMs: shown.fromMs, spansToMs: shown.toMs };
}

/** No contribution tells of what came after it, as the last parameters to validate: of that each node has an equal part. */
function withAllBytes(nodes: readonly NodeAccount[], events: readonly StoredEvent[]): readonly NodeAccount[] {
  const verdict = events.at(-1)?.body;
  if (verdict?.event !== 'verdict') return nodes;
  const { up, down, direct } = verdict.bytes;
  const moreUp = (up + direct - nodes.reduce((sum, { bytesUp }) => sum + bytesUp, 0)) / nodes.length;
  const moreDown = (down + direct - nodes.reduce((sum, { bytesDown }) => sum + bytesDown, 0)) / nodes.length;
  return nodes.map((node) => ({ ...node, bytesUp: node.bytesUp + moreUp, bytesDown: node.bytesDown + moreDown }));
}

interface Times {
  readonly startMs: number;
  readonly endMs: number;
  readonly windowMs: number;
  readonly shown: Omit<ActivitySpan, 'activity'>;
}

function nodeAccount(name: string, contributions: readonly Contribution[], { startMs, endMs, windowMs, shown }: Times): NodeAccount {
  const spans = contributions.map(spansOf);
  const ms: Record<Activity, number> = { compute: 0, send: 0, receive: 0, wait: 0 };
  for (const { activity, fromMs, toMs } of spans.flat()) ms[activity] += Math.max(0, Math.min(endMs, toMs) - Math.max(startMs, fromMs));
  ms.wait = Math.max(0, endMs - startMs - ms.compute - ms.send - ms.receive);
  const sum = (of: (contribution: Contribution) => number) => contributions.reduce((total, contribution) => total + of(contribution), 0);
  const computing = spans.flat().filter(({ activity }) => activity === 'compute');
  return {
    name,
    hereMs: ms.compute + ms.send + ms.receive + ms.wait,
    ms,
    bytesUp: sum(({ bytesUp }) => bytesUp),
    bytesDown: sum(({ bytesDown }) => bytesDown),
    samples: sum(({ samples, accepted }) => (accepted ? samples : 0)),
    spans: withWaits(spans.flat(), shown),
    utilisation: Array.from({ length: WINDOWS }, (_, i) => {
      const [fromMs, toMs] = [startMs + i * windowMs, startMs + (i + 1) * windowMs];
      const busyMs = computing.reduce((total, span) => total + Math.max(0, Math.min(toMs, span.toMs) - Math.max(fromMs, span.fromMs)), 0);
      return Math.min(1, busyMs / windowMs);
    }),
  };
}

/** What is sent beside the next task counts as that one's computing. */
function spansOf({ sentAtMs, doneAtMs, computeMs, elapsedMs, exchange }: Contribution): readonly ActivitySpan[] {
  const receiveMs = exchange?.receiveMs ?? 0;
  const [beganMs, computedMs] = [sentAtMs + receiveMs, sentAtMs + receiveMs + Math.max(computeMs, elapsedMs)];
  const sendMs = exchange === undefined ? 0 : exchange.sendMs - (exchange.hiddenMs ?? 0);
  return [
    { activity: 'receive', fromMs: sentAtMs, toMs: beganMs },
    { activity: 'compute', fromMs: beganMs, toMs: computedMs },
    { activity: 'send', fromMs: Math.max(computedMs, doneAtMs - sendMs), toMs: Math.max(computedMs, doneAtMs) },
  ];
}

/** What of them lies within `shown`, and the waits between. */
function withWaits(spans: readonly ActivitySpan[], shown: Times['shown']): readonly ActivitySpan[] {
  let untilMs = shown.fromMs;
  const all: ActivitySpan[] = [];
  for (const { activity, ...span } of spans.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const [fromMs, toMs] = [Math.max(shown.fromMs, span.fromMs), Math.min(shown.toMs, span.toMs)];
    if (fromMs >= toMs) continue;
    if (fromMs > untilMs) all.push({ activity: 'wait', fromMs: untilMs, toMs: fromMs });
    all.push({ activity, fromMs, toMs });
    untilMs = Math.max(untilMs, toMs);
  }
  return untilMs < shown.toMs ? [...all, { activity: 'wait', fromMs: untilMs, toMs: shown.toMs }] : all;
}
