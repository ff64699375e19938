import type { RunEvent, StoredEvent } from '@longtail/core';
import type { Activity, ActivitySpan, FleetAccount, NodeAccount } from '@longtail/simulator';

type Contribution = Extract<RunEvent, { readonly event: 'contribution' }>;

const WINDOWS = 60;
/** Contributions of a node that are shown, from the middle of the run. */
const SHOWN = 4;

/** What nodes were at as far as the events of a live run tell: computing in one piece, between receiving and sending. */
export function accountOfEvents(events: readonly StoredEvent[], names: readonly string[], { startMs, endMs }: { readonly startMs: number; readonly endMs: number }): FleetAccount {
  const windowMs = (endMs - startMs) / WINDOWS || 1;
  const nodes = names.map((name) => nodeAccount(name, events.flatMap(({ body }) => (body.event === 'contribution' && body.name === name ? [body] : [])), startMs, endMs, windowMs));
  const all = nodes.flatMap(({ spans }) => spans);
  return { nodes, windowMs, spansFromMs: Math.min(endMs, ...all.map(({ fromMs }) => fromMs)), spansToMs: Math.max(startMs, ...all.map(({ toMs }) => toMs)) };
}

function nodeAccount(name: string, contributions: readonly Contribution[], startMs: number, endMs: number, windowMs: number): NodeAccount {
  const spans = contributions.map(spansOf);
  const ms: Record<Activity, number> = { compute: 0, send: 0, receive: 0, wait: 0 };
  for (const { activity, fromMs, toMs } of spans.flat()) ms[activity] += Math.max(0, Math.min(endMs, toMs) - Math.max(startMs, fromMs));
  ms.wait = Math.max(0, endMs - startMs - ms.compute - ms.send - ms.receive);
  const sum = (of: (contribution: Contribution) => number) => contributions.reduce((total, contribution) => total + of(contribution), 0);
  const computing = spans.flat().filter(({ activity }) => activity === 'compute');
  const middle = Math.max(0, (spans.length >> 1) - (SHOWN >> 1));
  return {
    name,
    hereMs: ms.compute + ms.send + ms.receive + ms.wait,
    ms,
    bytesUp: sum(({ bytesUp }) => bytesUp),
    bytesDown: sum(({ bytesDown }) => bytesDown),
    samples: sum(({ samples, accepted }) => (accepted ? samples : 0)),
    spans: spans.slice(middle, middle + SHOWN).flat(),
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
