import type { BenchSpan } from '@longtail/core';
import type { Stretch } from './compute-log.js';
import type { Contribution, RunRecord } from './figures.js';

/** From the middle of the run. */
const SHOWN_ROUNDS = 4;
const SHOWN_NODES = 64;

/** What nodes did in a few rounds, by the time since training began: computing as it was noted; receiving and sending as their contributions count it; else waiting. */
export function spansOf({ nodes, computed }: Pick<RunRecord, 'nodes' | 'computed'>, contributions: readonly Contribution[], startMs: number, endMs: number): readonly BenchSpan[] {
  const { fromMs, toMs } = shown(contributions, startMs, endMs);
  return nodes.slice(0, SHOWN_NODES).flatMap(({ name }, node) => {
    const own = contributions.filter((contribution) => contribution.name === name && contribution.doneAtMs > fromMs && contribution.sentAtMs < toMs);
    if (own.length === 0) return [];
    const computing = computed.within(name, fromMs, toMs);
    const moving = own.flatMap(({ sentAtMs, doneAtMs, exchange }): (Stretch & { readonly kind: 'send' | 'receive' })[] =>
      exchange === undefined
        ? []
        : [
            { kind: 'receive', fromMs: sentAtMs, toMs: sentAtMs + exchange.receiveMs },
            { kind: 'send', fromMs: doneAtMs - exchange.sendMs, toMs: doneAtMs },
          ],
    );
    const spans: BenchSpan[] = computing.map((stretch) => ({ node, kind: 'compute', ...stretch }));
    for (const gap of gapsIn(computing, fromMs, toMs)) spans.push(...filled(node, gap, moving));
    return spans.sort((a, b) => a.fromMs - b.fromMs).map((span) => ({ ...span, fromMs: span.fromMs - startMs, toMs: span.toMs - startMs }));
  });
}

/** Around the middle of the run, as long as the rounds there. */
function shown(contributions: readonly Contribution[], startMs: number, endMs: number): Stretch {
  const middle = (startMs + endMs) / 2;
  const around = contributions.filter(({ sentAtMs, doneAtMs }) => sentAtMs <= middle && doneAtMs >= middle);
  const longest = around.reduce((most, { sentAtMs, doneAtMs }) => Math.max(most, doneAtMs - sentAtMs), 0) || (endMs - startMs) / SHOWN_ROUNDS;
  const half = (SHOWN_ROUNDS * longest) / 2;
  return { fromMs: Math.max(startMs, middle - half), toMs: Math.min(endMs, middle + half) };
}

function gapsIn(stretches: readonly Stretch[], fromMs: number, toMs: number): readonly Stretch[] {
  const bounds = [fromMs, ...stretches.flatMap((stretch) => [stretch.fromMs, stretch.toMs]), toMs];
  const gaps: Stretch[] = [];
  for (let i = 0; i < bounds.length; i += 2) if (bounds[i + 1]! > bounds[i]!) gaps.push({ fromMs: bounds[i]!, toMs: bounds[i + 1]! });
  return gaps;
}

/** What of a gap is sending or receiving; the rest is waiting. */
function filled(node: number, gap: Stretch, moving: readonly (Stretch & { readonly kind: 'send' | 'receive' })[]): readonly BenchSpan[] {
  const parts = moving
    .map(({ kind, fromMs, toMs }) => ({ node, kind, fromMs: Math.max(gap.fromMs, fromMs), toMs: Math.min(gap.toMs, toMs) }))
    .filter(({ fromMs, toMs }) => toMs > fromMs)
    .sort((a, b) => a.fromMs - b.fromMs);
  const spans: BenchSpan[] = [];
  let atMs = gap.fromMs;
  for (const part of parts) {
    const fromMs = Math.max(atMs, part.fromMs);
    if (part.toMs <= fromMs) continue;
    if (fromMs > atMs) spans.push({ node, kind: 'wait', fromMs: atMs, toMs: fromMs });
    spans.push({ ...part, fromMs });
    atMs = part.toMs;
  }
  if (gap.toMs > atMs) spans.push({ node, kind: 'wait', fromMs: atMs, toMs: gap.toMs });
  return spans;
}
