import { formatBitRate, type BenchNode, type BenchOutcome, type StoredEvent } from '@longtail/core';
import type { LinkRates } from '@longtail/spec';
import type { Contribution } from './figures.js';

/** From here on nothing but faster devices would help. */
const COMPUTE_BOUND = 0.85;
/** A link that is in use for this part of the time is full. */
const FULL = 0.7;

const percent = (part: number) => `${Math.round(100 * part)} %`;

/** What bounds a run, in a sentence: what the contributions spent their time on that rounds ended with. */
export function bottleneckOf({ summary, nodes: outcomes }: Omit<BenchOutcome, 'bottleneck'>, nodes: readonly BenchNode[], server: LinkRates, events: readonly StoredEvent[]): string {
  const { utilisation, samples, lostSamples, bubble, wallMs } = summary;
  const lost = lostSamples / (samples + lostSamples || 1);
  if (lost > 1 - COMPUTE_BOUND && lost > 1 - utilisation) return `churn: ${percent(lost)} of the samples that were given out came to nothing`;
  if (utilisation >= COMPUTE_BOUND) return `compute: devices are at work ${percent(utilisation)} of the time`;
  if (bubble !== undefined && bubble > 0.5) return `pipeline: stages wait for each other ${percent(bubble)} of the time`;
  const total = (of: (outcome: (typeof outcomes)[number]) => number) => outcomes.reduce((sum, outcome) => sum + of(outcome), 0);
  const ingress = (8000 * total(({ bytesUp }) => bytesUp)) / wallMs / server.down;
  const egress = (8000 * total(({ bytesDown }) => bytesDown)) / wallMs / server.up;
  const path = criticalPath(events);
  const { part, name, kind } = mainPart(path);
  if (kind !== 'compute' && Math.max(ingress, egress) > FULL) {
    const [way, rate, use] = ingress > egress ? (['in', server.down, ingress] as const) : (['out', server.up, egress] as const);
    return `server: its link is full, ${percent(use)} of ${formatBitRate(rate)} ${way}`;
  }
  const node = nodes.find((one) => one.name === name);
  if (node === undefined) return 'nobody contributed';
  switch (kind) {
    case 'compute':
      return `straggler: ${percent(part)} of a round is computing, at last that of ${name} (${node.device}); devices are at work ${percent(utilisation)} of the time`;
    case 'send':
      return `uplink: ${percent(part)} of a round is sending, at last that of ${name} (${formatBitRate(node.link.up)}); devices are at work ${percent(utilisation)} of the time`;
    case 'receive':
      return `downlink: ${percent(part)} of a round is receiving, at last that of ${name} (${formatBitRate(node.link.down)}); devices are at work ${percent(utilisation)} of the time`;
  }
}

type Kind = 'compute' | 'send' | 'receive';
type Path = ReadonlyMap<string, Readonly<Record<Kind, number>>>;

const KINDS: readonly Kind[] = ['compute', 'send', 'receive'];

/** Milliseconds by node and kind, of the contribution of each round that was done last. */
function criticalPath(events: readonly StoredEvent[]): Path {
  const last = new Map<number, Contribution>();
  for (const { body } of events) {
    if (body.event !== 'contribution' || !body.accepted || body.exchange === undefined) continue;
    if (body.doneAtMs > (last.get(body.round)?.doneAtMs ?? -Infinity)) last.set(body.round, body);
  }
  const path = new Map<string, Record<Kind, number>>();
  for (const { name, computeMs, exchange } of last.values()) {
    const own = path.get(name) ?? { compute: 0, send: 0, receive: 0 };
    own.compute += computeMs;
    own.send += exchange!.sendMs - (exchange!.hiddenMs ?? 0);
    own.receive += exchange!.receiveMs;
    path.set(name, own);
  }
  return path;
}

/** The kind that most of the path is, and whose it is most. */
function mainPart(path: Path): { readonly part: number; readonly name: string; readonly kind: Kind } {
  const of = (kind: Kind) => [...path.values()].reduce((sum, own) => sum + own[kind], 0);
  const all = KINDS.reduce((sum, kind) => sum + of(kind), 0);
  const kind = KINDS.reduce((most, one) => (of(one) > of(most) ? one : most));
  const [name] = [...path].reduce<readonly [string, number]>((most, [node, own]) => (own[kind] > most[1] ? [node, own[kind]] : most), ['', 0]);
  return { part: of(kind) / (all || 1), name, kind };
}
