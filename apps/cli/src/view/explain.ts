import { formatBytes, formatCount, formatMilliseconds, uplinkInWords, type StoredEvent } from '@longtail/core';
import { roundsCompared, type Compared, type DeviceComparison, type GroupComparison, type PlanComparison } from '@longtail/store';
import type { Colors } from './colors.js';
import { percent } from './marks.js';
import { advance, NOTHING_YET, type RunProgress, workersByName } from './progress.js';
import { exchangeTable } from './summary.js';
import { renderTable } from './table.js';

const HEADINGS = ['stage', 'device', 'blocks', 'a microbatch', 'compute a round', 'busy', 'memory', 'up', 'down'];
const EXCHANGE_HEADINGS = ['stage', 'device', 'receives', 'codes', 'sends', 'waits', 'uplink'];

/** A plan against what came of it: the whole, stage by stage, group by group, and what strays furthest. Predicted → measured. */
export function explainLines(comparison: PlanComparison, colors: Colors): readonly string[] {
  const { plan, roundMs, samplesPerSecond, bytesUp, bytesDown, groups, deviation } = comparison;
  const { bold, dim } = colors;
  const traffic = `a round moves ${pair(bytesUp, formatBytes)} up, ${pair(bytesDown, formatBytes)} down`;
  return [
    `${plan.model}: predicted → measured, ${roundsCompared(comparison)}`,
    `${bold(`a round ${pair(roundMs, formatMilliseconds)}`)} (${change(roundMs)}), ${bold(`${pair(samplesPerSecond, formatCount)} samples/s`)}; ${traffic}`,
    '',
    ...renderTable(HEADINGS, groups.flatMap(rowsOf), colors, 3).split('\n'),
    '',
    ...exchangeLines(groups, colors),
    ...groups.map((group) => dim(groupLine(group))),
    '',
    deviation.sentence,
  ];
}

function rowsOf(group: GroupComparison): readonly (readonly string[])[] {
  return placed(group).map(([place, { name, node, blocks, passMs, computeMs, utilisation, memoryBytes, bytesUp, bytesDown }]) => [
    place,
    `${node} ${name}`,
    blocks.map(([first, last]) => (first === last ? first : `${first} – ${last}`)).join(', '),
    pair(passMs, formatMilliseconds),
    pair(computeMs, formatMilliseconds),
    pair(utilisation, percent),
    pair(memoryBytes, formatBytes),
    pair(bytesUp, formatBytes),
    pair(bytesDown, formatBytes),
  ]);
}

/** What a round takes each device beside computing. */
function exchangeLines(groups: readonly GroupComparison[], colors: Colors): readonly string[] {
  const rows = groups.flatMap(placed).flatMap(([place, { name, node, exchange }]) => {
    if (exchange === undefined) return [];
    const { receiveMs, encodeMs, sendMs, waitMs, sends } = exchange;
    const times = [receiveMs, encodeMs, sendMs, waitMs].map((ms) => pair(ms, formatMilliseconds));
    return [[place, `${node} ${name}`, ...times, uplinkInWords(sends)]];
  });
  return rows.length === 0 ? [] : [...renderTable(EXCHANGE_HEADINGS, rows, colors, 2).split('\n'), ''];
}

/** The devices of a group, each with the number of its first stage. */
function placed({ number, stages }: GroupComparison): readonly (readonly [place: string, device: DeviceComparison])[] {
  return stages.flatMap((devices, stage) => devices.map((device) => [stages.length > 1 ? `${number}.${stage + 1}` : `${number}`, device] as const));
}

/** A run without a plan as it was measured; undefined where no contribution says where its worker's time went. */
export function measuredRun(events: readonly StoredEvent[]): MeasuredRun | undefined {
  const progress = events.reduce(advance, NOTHING_YET);
  if (workersByName(progress).every(({ exchange }) => exchange === undefined)) return undefined;
  const steps = events.findLast(({ body }) => body.event === 'shares' && body.unit === 'local steps')?.body;
  return { progress, why: steps?.event === 'shares' ? steps.reason : '' };
}

export interface MeasuredRun {
  readonly progress: RunProgress;
  /** Why there are so many local steps; empty where the server steps. */
  readonly why: string;
}

/** Where each worker's time went, and how many local steps it takes. */
export function measuredLines({ progress, why }: MeasuredRun, colors: Colors): readonly string[] {
  const steps = workersByName(progress).map(({ name, localSteps = 0 }) => `${name} ${localSteps}`);
  return [
    'no plan: every worker held the whole model, and shares followed their speed. Measured:',
    '',
    ...exchangeTable(progress, colors).split('\n'),
    ...(why === '' ? [] : ['', `local steps at the end: ${steps.join(', ')} (${why})`]),
  ];
}

function groupLine({ number, stages, steps, samples, stepMs, exchangeMs, bubble }: GroupComparison): string {
  const waits = stages.length > 1 ? `, of which its busiest stage waits ${pair(bubble, percent)}` : '';
  const each = steps.planned === 1 ? 'a step' : `each of ${pair(steps, formatCount)} steps a round`;
  return `${number}: ${pair(samples, formatCount)} samples in ${each} of ${pair(stepMs, formatMilliseconds)}${waits}; exchange ${pair(exchangeMs, formatMilliseconds)}`;
}

function pair({ planned, measured }: Compared, format: (value: number) => string): string {
  const known = (value: number) => (Number.isNaN(value) ? '–' : format(value));
  return `${known(planned)} → ${known(measured)}`;
}

/** `+12 %` */
function change({ planned, measured }: Compared): string {
  const fraction = measured / planned - 1;
  return `${fraction < 0 ? '−' : '+'}${percent(Math.abs(fraction))}`;
}
