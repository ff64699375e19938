import type { BenchArm, BenchOutcome, BenchResult } from '@longtail/core';
import { csvFormatRow, csvFormatRows } from 'd3-dsv';
import { comparePredictions } from './predictions.js';

type Cell = string | number | null | undefined;

/** Every series of a result as CSV (RFC 4180), numbers in full; what is unknown is empty. */
export function csvFiles(result: BenchResult): ReadonlyMap<string, string> {
  const done = result.arms.flatMap((arm) => (arm.outcome.status === 'done' ? [{ arm, outcome: arm.outcome }] : []));
  const settings = [...new Set(result.arms.flatMap((arm) => Object.keys(arm.settings)))].sort();
  const series = (columns: readonly string[], rows: (outcome: BenchOutcome) => readonly (readonly Cell[])[]): string =>
    table([...RUN, ...columns], ...done.map(({ arm, outcome }) => rows(outcome).map((row) => [...runOf(arm), ...row])));
  const nameOf = (node: number): Cell => result.nodes[node]?.name;
  return new Map([
    [
      'arms.csv',
      table(
        [...RUN, ...settings.map((name) => `setting_${name}`), 'status', 'reason', ...SUMMARY],
        result.arms.map((arm) => [...runOf(arm), ...settings.map((name) => arm.settings[name]), ...outcomeOf(arm)]),
      ),
    ],
    ['loss.csv', series(LOSS, ({ loss }) => loss.map((point) => LOSS.map((name) => point[name])))],
    ['nodes.csv', series(['node', ...NODE], ({ nodes }) => nodes.map((node, i) => [nameOf(i), ...NODE.map((name) => node[name])]))],
    ['spans.csv', series(['node', ...SPAN], ({ spans }) => spans.map((span) => [nameOf(span.node), ...SPAN.map((name) => span[name])]))],
    ['utilisation.csv', utilisation(result, done)],
    ...predictions(result),
    [
      'fleet.csv',
      table(['seed', 'knob', 'node', 'device', 'site', 'upBitsPerSecond', 'downBitsPerSecond', 'rttMs', 'watts', 'dollars'], fleetRows(result)),
    ],
  ]);
}

const RUN = ['arm', 'seed', 'knob'] as const;
const LOSS = ['timeMs', 'samples', 'bytes', 'loss', 'kind'] as const;
const NODE = ['hereMs', 'computeMs', 'sendMs', 'waitMs', 'bytesUp', 'bytesDown', 'samples'] as const;
const SPAN = ['kind', 'fromMs', 'toMs'] as const;
const SUMMARY = [
  'timeToTargetMs',
  'finalLoss',
  'wallMs',
  'rounds',
  'samples',
  'samplesPerSecond',
  'utilisation',
  'bubble',
  'bytesUpPerNode',
  'bytesDownPerNode',
  'staleness',
  'lostSamples',
  'energyWattHours',
  'costDollars',
] as const;

function runOf({ name, seed, knob }: BenchArm): readonly Cell[] {
  return [name, seed, knob];
}

function outcomeOf({ outcome }: BenchArm): readonly Cell[] {
  if (outcome.status !== 'done') return [outcome.status, outcome.reason, ...SUMMARY.map(() => undefined)];
  return [outcome.status, outcome.bottleneck, ...SUMMARY.map((name) => outcome.summary[name])];
}

/** A row a node, a column a window: long runs of large fleets would make a file too large with a row a window. */
function utilisation({ nodes }: BenchResult, done: readonly { readonly arm: BenchArm; readonly outcome: BenchOutcome }[]): string {
  const windows = Math.max(0, ...done.map(({ outcome }) => outcome.utilisation.rows.reduce((most, row) => Math.max(most, row.length), 0)));
  return table(
    [...RUN, 'windowMs', 'node', ...Array.from({ length: windows }, (_, i) => `window_${i}`)],
    ...done.map(({ arm, outcome: { utilisation } }) =>
      utilisation.rows.map((row, i) => [
        ...runOf(arm),
        utilisation.windowMs,
        nodes[i]?.name,
        ...Array.from({ length: windows }, (_, window) => row[window]),
      ]),
    ),
  );
}

/** Only of a bench in both modes. */
function predictions(result: BenchResult): readonly (readonly [string, string])[] {
  if (result.predicted === undefined) return [];
  const rows = comparePredictions(result).map(({ arm, seed, knob, figure, predicted, live, error }) => [arm, seed, knob, figure, predicted, live, error]);
  return [['predictions.csv', table([...RUN, 'figure', 'predicted', 'live', 'error'], rows)]];
}

/** A row a node for each seed and value of the knob, with the link that it had then. */
function fleetRows({ nodes, links }: BenchResult): readonly (readonly Cell[])[] {
  return links.flatMap(({ seed, knob, links: drawn }) =>
    nodes.map(({ name, device, site, watts, dollars }, i) => [seed, knob, name, device, site, drawn[i].up, drawn[i].down, drawn[i].rtt, watts, dollars]),
  );
}

function table(columns: readonly string[], ...parts: readonly (readonly (readonly Cell[])[])[]): string {
  const text = (cell: Cell): string => (cell === null || cell === undefined || Number.isNaN(cell) ? '' : String(cell));
  const lines = parts.filter(({ length }) => length > 0).map((rows) => csvFormatRows(rows.map((row) => row.map(text))));
  return `${[csvFormatRow([...columns]), ...lines].join('\n')}\n`;
}
