import * as Plot from '@observablehq/plot';
import type { BenchNode } from '@longtail/core';
import type { Run } from '../arms.js';
import { linearAxis } from '../axis.js';
import { figure, type Figure } from '../figure.js';
import { rampLegend } from '../legend.js';
import { colour, type ColourName } from '../palette.js';
import { WIDTH } from '../plot.js';
import { COUNT, TIME } from '../quantity.js';
import { isNumber, spread } from '../spread.js';
import { axisBelow, namesMargin, namesOnLeft, rowsFrame } from './axes.js';

/** A fleet up to this size has a row a node, with its name. */
const NAMED_ROWS = 24;
const BINNED_ROWS = 50;
const COLUMNS = 96;
const LEVELS = 8;
const RIGHT = 16;

/** Null: nobody was there. */
type Cells = readonly (readonly (number | null)[])[];

/** What the darkest colour may mean. */
const SCALES = [0.02, 0.05, 0.1, 0.2, 0.5, 1];

/** An arm that has pictures of its own. */
export interface Pictured {
  /** In the names of files. */
  readonly file: string;
  readonly arm: string;
  readonly run: Run;
}

/** Which part of its time each node computed, over the run; of all arms in the same colours, none of those of which nothing was kept. */
export function heatMaps(arms: readonly Pictured[], nodes: readonly BenchNode[]): Figure[] {
  const grids = arms.flatMap((arm) => gridOf(arm) ?? []);
  const busiest = grids.flatMap(({ cells }) => cells.flat()).reduce<number>((most, part) => Math.max(most, part ?? 0), 0);
  const full = SCALES.find((scale) => busiest <= scale) ?? 1;
  return grids.map((grid) => heatMap(grid, full, nodes));
}

interface Grid extends Pictured {
  readonly cells: Cells;
  /** Rows are nodes; otherwise each stands for `perRow` of them. */
  readonly named: boolean;
  readonly perRow: number;
  readonly perColumn: number;
  readonly windows: number;
}

function gridOf(arm: Pictured): Grid | undefined {
  const { rows } = arm.run.outcome.utilisation;
  const windows = rows.reduce((most, row) => Math.max(most, row.length), 0);
  if (windows === 0) return undefined;
  const named = rows.length <= NAMED_ROWS;
  const perColumn = Math.ceil(windows / COLUMNS);
  const columns = rows.map((row) =>
    binned(
      Array.from({ length: windows }, (_, i) => row[i] ?? null),
      perColumn,
    ),
  );
  const perRow = named ? 1 : Math.ceil(rows.length / BINNED_ROWS);
  return { ...arm, cells: named ? columns : binRows(columns, perRow), named, perRow, perColumn, windows };
}

function heatMap({ file, arm, run: { seed, outcome }, cells, named, perRow, perColumn, windows }: Grid, full: number, nodes: readonly BenchNode[]): Figure {
  const { rows, windowMs } = outcome.utilisation;
  const height = named ? cells.length * 17 : cells.length * 4;
  const names = nodes.map(({ name, device }) => `${name} · ${device}`);
  const marginLeft = named ? namesMargin(names) : 58;
  const axis = linearAxis(TIME, 0, windows * windowMs);
  const bars = runsOf(cells, full).map(({ from, to, ...rest }) => ({
    ...rest,
    x1: from * perColumn * windowMs,
    x2: Math.min(to * perColumn, windows) * windowMs,
  }));
  return figure({
    name: `utilisation-${file}`,
    title: `Utilisation under ${arm}`,
    note: `Seed ${seed}.${perRow > 1 ? ` Rows: means of ${perRow} nodes each.` : ''} Blank: not there.`,
    legend: rampLegend(
      '0 %',
      `${100 * full} % of the time computing`,
      Array.from({ length: LEVELS }, (_, level) => levelColour(level)),
    ),
    height: height + 50,
    plot: {
      ...rowsFrame(axis, cells.length, { marginLeft, marginRight: RIGHT, marginTop: 4, padding: 0.08 }),
      ...(!named && { y: { domain: [cells.length, 0] } }),
      marks: [
        ...Array.from({ length: LEVELS }, (_, level) => {
          const some = bars.filter((bar) => bar.level === level);
          const at = { x1: 'x1', x2: 'x2', fill: levelColour(level), shapeRendering: 'crispEdges' };
          return named ? Plot.barX(some, { ...at, y: 'y' }) : Plot.rect(some, { ...at, y1: 'y', y2: ({ y }: { y: number }) => y + 1 });
        }),
        ...axisBelow({ ...axis, label: axis.label.replace(/^Time/, 'Time since the start') }, [marginLeft, WIDTH - RIGHT]).slice(1),
        named ? namesOnLeft(names) : countAxis(rows.length, perRow),
      ],
    },
  });
}

/** Nodes from the busiest down, in numbers. */
function countAxis(nodes: number, perRow: number): Plot.Markish {
  const { ticks } = linearAxis(COUNT, 0, nodes);
  return Plot.axisY(
    ticks.map((tick) => tick / perRow),
    {
      text: (row: number) => String(Math.round(row * perRow)),
      tickSize: 4,
      label: 'Nodes, busiest first',
      labelAnchor: 'center',
      labelArrow: 'none',
      labelOffset: 52,
      color: colour('muted'),
    },
  );
}

function levelColour(level: number): string {
  return colour(`heat-${level}` as ColourName);
}

function meanOf(values: readonly (number | null)[]): number | null {
  return spread(values)?.mean ?? null;
}

function binned(values: readonly (number | null)[], size: number): (number | null)[] {
  return Array.from({ length: Math.ceil(values.length / size) }, (_, i) => meanOf(values.slice(i * size, (i + 1) * size)));
}

/** Sorted first, so that a bin's nodes are alike and its mean is that of each; empty where most of them are not there. */
function binRows(rows: Cells, size: number): Cells {
  const sorted = rows.map((row) => ({ row, mean: meanOf(row) ?? -1 })).sort((a, b) => b.mean - a.mean);
  return Array.from({ length: Math.ceil(rows.length / size) }, (_, i) => {
    const some = sorted.slice(i * size, (i + 1) * size);
    return rows[0].map((_, column) => {
      const there = some.map(({ row }) => row[column]).filter(isNumber);
      return there.length * 2 >= some.length ? meanOf(there) : null;
    });
  });
}

/** Neighbours of one level in a row as one; the highest one is `full`. */
function runsOf(cells: Cells, full: number): { y: number; from: number; to: number; level: number }[] {
  return cells.flatMap((row, y) => {
    const runs: { y: number; from: number; to: number; level: number }[] = [];
    row.forEach((value, x) => {
      if (!isNumber(value)) return;
      const level = Math.max(0, Math.min(LEVELS - 1, Math.floor((value / full) * LEVELS)));
      const last = runs.at(-1);
      if (last?.to === x && last.level === level) last.to = x + 1;
      else runs.push({ y, from: x, to: x + 1, level });
    });
    return runs;
  });
}
