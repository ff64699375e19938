import * as Plot from '@observablehq/plot';
import type { BenchNode, BenchSpan } from '@longtail/core';
import type { Run } from '../arms.js';
import { linearAxis } from '../axis.js';
import { figure, type Figure } from '../figure.js';
import { patchLegend } from '../legend.js';
import { colour } from '../palette.js';
import { WIDTH } from '../plot.js';
import { TIME } from '../quantity.js';
import { axisBelow, namesMargin, namesOnLeft, rowsFrame } from './axes.js';

/** Rows that stay legible; of a larger fleet some nodes stand for the others. */
const MOST_ROWS = 16;
const ROW = 17;
const RIGHT = 16;
const KINDS = ['compute', 'send', 'receive', 'wait'] as const;
/** Transfers lie in strips over what the device did meanwhile: received above, sent below. */
const STRIPS = { compute: [0, 0], wait: [0, 0], receive: [0, 0.64], send: [0.64, 0] } as const;

/** What each node did over a few rounds in the middle of a run; undefined where nothing was kept. */
export function ganttChart(name: string, arm: string, { seed, outcome }: Run, nodes: readonly BenchNode[]): Figure | undefined {
  const { spans } = outcome;
  if (spans.length === 0) return undefined;
  const from = spans.reduce((least, { fromMs }) => Math.min(least, fromMs), Infinity);
  const to = spans.reduce((most, { toMs }) => Math.max(most, toMs), -Infinity);
  const busy = new Map<number, number>();
  for (const { node, kind, fromMs, toMs } of spans) busy.set(node, (busy.get(node) ?? 0) + (kind === 'compute' ? toMs - fromMs : 0));
  const rows = nodes.length <= MOST_ROWS ? [...nodes.keys()] : standIns([...busy.keys()], busy);
  const names = rows.map((node) => `${nodes[node].name} · ${nodes[node].device}`);
  const marginLeft = namesMargin(names);
  const axis = linearAxis(TIME, from, Math.max(to, from + 1e-3));
  const pixelMs = (axis.domain[1] - from) / (WIDTH - marginLeft - RIGHT);
  const bars = rows.flatMap((node, y) =>
    merged(
      spans.filter((span) => span.node === node),
      pixelMs / 4,
    ).map((span) => ({ ...span, y })),
  );
  const height = rows.length * ROW + 56;
  const some = rows.length < nodes.length ? `${rows.length} of ${nodes.length} nodes, from the busiest to the idlest.` : '';
  return figure({
    name,
    title: `Rounds of ${arm}`,
    note: `Seed ${seed}. ${some} Strips over a row: received above, sent below.`,
    legend: patchLegend(KINDS.map((kind) => ({ name: kind, fill: colour(kind) }))),
    height,
    plot: {
      ...rowsFrame(axis, rows.length, { marginLeft, marginRight: RIGHT, marginTop: 4, padding: 0.24 }),
      marks: [
        ...axisBelow({ ...axis, label: axis.label.replace(/^Time/, 'Time since the start') }, [marginLeft, WIDTH - RIGHT]),
        ...(['wait', 'compute', 'receive', 'send'] as const).map((kind) =>
          strip(
            bars.filter((bar) => bar.kind === kind),
            kind,
          ),
        ),
        namesOnLeft(names),
      ],
    },
  });
}

function strip(bars: readonly (BenchSpan & { readonly y: number })[], kind: BenchSpan['kind']): Plot.Markish {
  const [top, bottom] = STRIPS[kind];
  return Plot.barX(bars, {
    x1: 'fromMs',
    x2: 'toMs',
    y: 'y',
    fill: colour(kind),
    insetTop: top * ROW * 0.76,
    insetBottom: bottom * ROW * 0.76,
  });
}

/** As many nodes as fit, evenly from the busiest to the idlest. */
function standIns(nodes: readonly number[], busy: ReadonlyMap<number, number>): readonly number[] {
  const sorted = nodes.toSorted((a, b) => busy.get(b)! - busy.get(a)! || a - b);
  const rows = Math.min(MOST_ROWS, sorted.length);
  return Array.from({ length: rows }, (_, i) => sorted[Math.round((i * (sorted.length - 1)) / Math.max(1, rows - 1))]);
}

/** Spans of one kind that follow each other within `gapMs`, less than can be seen, as one. */
function merged(spans: readonly BenchSpan[], gapMs: number): BenchSpan[] {
  return KINDS.flatMap((kind) => {
    const whole: BenchSpan[] = [];
    for (const span of spans.filter((other) => other.kind === kind).sort((a, b) => a.fromMs - b.fromMs)) {
      const last = whole.at(-1);
      if (last !== undefined && span.fromMs - last.toMs < gapMs)
        whole[whole.length - 1] = { ...last, toMs: Math.max(last.toMs, span.toMs) };
      else whole.push(span);
    }
    return whole;
  });
}
