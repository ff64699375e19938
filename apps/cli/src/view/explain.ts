import { formatBytes, formatCount, formatMilliseconds } from '@longtail/core';
import type { Compared, GroupComparison, PlanComparison } from '@longtail/store';
import type { Colors } from './colors.js';
import { percent } from './marks.js';
import { renderTable } from './summary.js';

const HEADINGS = ['stage', 'device', 'blocks', 'a microbatch', 'compute a round', 'busy', 'memory', 'up', 'down'];

/** A plan against what came of it: the whole, stage by stage, group by group, and what strays furthest. Predicted → measured. */
export function explainLines(comparison: PlanComparison, colors: Colors): readonly string[] {
  const { plan, rounds, warmUp, roundMs, samplesPerSecond, bytesUp, bytesDown, groups, deviation } = comparison;
  const { bold, dim } = colors;
  const traffic = `a round moves ${pair(bytesUp, formatBytes)} up, ${pair(bytesDown, formatBytes)} down`;
  return [
    `${plan.model}: predicted → measured, the median of ${rounds} rounds${warmUp > 0 ? ` after ${warmUp} to warm up` : ''}`,
    `${bold(`a round ${pair(roundMs, formatMilliseconds)}`)} (${change(roundMs)}), ${bold(`${pair(samplesPerSecond, formatCount)} samples/s`)}; ${traffic}`,
    '',
    ...renderTable(HEADINGS, groups.flatMap(rowsOf), colors, 3).split('\n'),
    '',
    ...groups.map((group) => dim(groupLine(group))),
    '',
    deviation.sentence,
  ];
}

function rowsOf({ number, stages }: GroupComparison): readonly (readonly string[])[] {
  return stages.flatMap((devices, stage) =>
    devices.map(({ name, node, blocks, passMs, computeMs, utilisation, memoryBytes, bytesUp, bytesDown }) => [
      stages.length > 1 ? `${number}.${stage + 1}` : `${number}`,
      `${node} ${name}`,
      blocks.map(([first, last]) => (first === last ? first : `${first} – ${last}`)).join(', '),
      pair(passMs, formatMilliseconds),
      pair(computeMs, formatMilliseconds),
      pair(utilisation, percent),
      pair(memoryBytes, formatBytes),
      pair(bytesUp, formatBytes),
      pair(bytesDown, formatBytes),
    ]),
  );
}

function groupLine({ number, stages, samples, stepMs, exchangeMs, bubble }: GroupComparison): string {
  const waits = stages.length > 1 ? `, of which its busiest stage waits ${pair(bubble, percent)}` : '';
  return `${number}: ${pair(samples, formatCount)} samples in a step of ${pair(stepMs, formatMilliseconds)}${waits}; exchange ${pair(exchangeMs, formatMilliseconds)}`;
}

function pair({ planned, measured }: Compared, format: (value: number) => string): string {
  return `${format(planned)} → ${Number.isNaN(measured) ? '–' : format(measured)}`;
}

/** `+12 %` */
function change({ planned, measured }: Compared): string {
  const fraction = measured / planned - 1;
  return `${fraction < 0 ? '−' : '+'}${percent(Math.abs(fraction))}`;
}
