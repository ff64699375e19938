import * as Plot from '@observablehq/plot';
import type { BenchNodeOutcome } from '@longtail/core';
import type { Arm, Run } from '../arms.js';
import { figure, type Figure } from '../figure.js';
import { patchLegend } from '../legend.js';
import { colour } from '../palette.js';
import { WIDTH } from '../plot.js';
import { spread } from '../spread.js';
import { axisBelow, namesMargin, namesOnLeft, rowsFrame } from './axes.js';
import { MOST_BARS } from './ranking.js';

const PARTS = [
  { name: 'computing', of: 'computeMs', fill: colour('compute') },
  { name: 'sending', of: 'sendMs', fill: colour('send') },
  { name: 'waiting', of: 'waitMs', fill: colour('wait') },
] as const;

/** What the nodes of each arm did with the time that they were there, all nodes together. */
export function timeSharesChart(arms: readonly Arm[]): Figure | undefined {
  const ran = arms.filter(({ runs }) => runs.some(({ outcome }) => outcome.nodes.some(({ hereMs }) => hereMs > 0)));
  if (ran.length === 0) return undefined;
  const rows = ran.slice(0, MOST_BARS);
  const names = rows.map(({ name }) => name);
  const marginLeft = namesMargin(names);
  const marginRight = 16;
  const axis = {
    type: 'linear',
    domain: [0, 1],
    label: 'Part of the time of all nodes',
    ticks: [0, 0.25, 0.5, 0.75, 1],
    format: percent,
  } as const;
  const bars = rows.flatMap(({ runs }, y) => {
    let from = 0;
    return PARTS.map(({ of, fill }) => ({ y, fill, x1: from, x2: (from += meanShare(runs, of)), share: from, of }));
  });
  return figure({
    name: 'time-shares',
    title: 'Where the time went',
    note: ran.length > rows.length ? `The best ${rows.length} of ${ran.length} arms.` : undefined,
    legend: patchLegend(PARTS),
    height: rows.length * 24 + 56,
    plot: {
      ...rowsFrame(axis, rows.length, { marginLeft, marginRight, marginTop: 6, padding: 0.28 }),
      marks: [
        ...axisBelow(axis, [marginLeft, WIDTH - marginRight]),
        Plot.barX(bars, { x1: 'x1', x2: 'x2', y: 'y', fill: 'fill', insetRight: 0.5 }),
        namesOnLeft(names),
        Plot.text(
          bars.filter(({ of, x2 }) => of === 'computeMs' && x2 > 0.12),
          {
            x: 'x2',
            y: 'y',
            text: ({ x2 }: { x2: number }) => percent(x2),
            textAnchor: 'end',
            dx: -6,
            fill: colour('card'),
            fontWeight: 600,
          },
        ),
        Plot.ruleX([0], { stroke: colour('muted') }),
      ],
    },
  });
}

function meanShare(runs: readonly Run[], of: keyof BenchNodeOutcome): number {
  const shares = runs.map(({ outcome: { nodes } }) => {
    const sum = (field: keyof BenchNodeOutcome): number => nodes.reduce((total, node) => total + node[field], 0);
    const here = sum('hereMs');
    return here > 0 ? sum(of) / here : undefined;
  });
  return spread(shares)?.mean ?? 0;
}

function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}
