import { formatBytes, formatMilliseconds } from '@longtail/core';
import type { Compared, GroupComparison, PlanComparison } from '../comparison/comparison.js';
import { html, type Markup } from './markup.js';

/** The plan against what was measured, stage by stage, and what strays furthest. */
export function planTable({ groups, roundMs, rounds, deviation }: PlanComparison): Markup {
  return html`<p class="note">
      Predicted → measured, the median of ${rounds} rounds. A round ${pair(roundMs, formatMilliseconds)}. ${deviation.sentence}
    </p>
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>Stage</th>
            <th>Device</th>
            <th>Blocks</th>
            <th class="n">A microbatch</th>
            <th class="n">Compute a round</th>
            <th class="n">Busy</th>
            <th class="n">Memory</th>
            <th class="n">Up</th>
            <th class="n">Down</th>
          </tr>
        </thead>
        <tbody>
          ${groups.map(rowsOf)}
        </tbody>
      </table>
    </div>`;
}

function rowsOf({ number, stages }: GroupComparison): readonly Markup[] {
  return stages.flatMap((devices, stage) =>
    devices.map(
      ({ name, blocks: [first, last], passMs, computeMs, utilisation, memoryBytes, bytesUp, bytesDown }) =>
        html`<tr>
          <td>${stages.length > 1 ? `${number}.${stage + 1}` : String(number)}</td>
          <td class="name">${name}</td>
          <td>${first === last ? first : `${first} – ${last}`}</td>
          <td class="n">${pair(passMs, formatMilliseconds)}</td>
          <td class="n">${pair(computeMs, formatMilliseconds)}</td>
          <td class="n">${pair(utilisation, (fraction) => `${Math.round(100 * fraction)} %`)}</td>
          <td class="n">${pair(memoryBytes, formatBytes)}</td>
          <td class="n">${pair(bytesUp, formatBytes)}</td>
          <td class="n">${pair(bytesDown, formatBytes)}</td>
        </tr>`,
    ),
  );
}

function pair({ planned, measured }: Compared, format: (value: number) => string): string {
  return `${format(planned)} → ${Number.isNaN(measured) ? '–' : format(measured)}`;
}
