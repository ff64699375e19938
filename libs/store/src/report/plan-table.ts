import { formatBytes, formatMilliseconds, html, uplinkInWords, type Markup } from '@longtail/core';
import { roundsCompared, type Compared, type DeviceComparison, type GroupComparison, type PlanComparison } from '../comparison/comparison.js';

/** The plan against what was measured, stage by stage, and what strays furthest. */
export function planTable(comparison: PlanComparison): Markup {
  const { groups, roundMs, deviation } = comparison;
  return html`<p class="note">
      Predicted → measured, ${roundsCompared(comparison)}. A round ${pair(roundMs, formatMilliseconds)}. ${deviation.sentence}
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
    </div>
    ${exchangeTable(groups)}`;
}

function rowsOf(group: GroupComparison): readonly Markup[] {
  return placed(group).map(
    ([place, { name, blocks, passMs, computeMs, utilisation, memoryBytes, bytesUp, bytesDown }]) =>
      html`<tr>
        <td>${place}</td>
        <td class="name">${name}</td>
        <td>${blocks.map(([first, last]) => (first === last ? first : `${first} – ${last}`)).join(', ')}</td>
        <td class="n">${pair(passMs, formatMilliseconds)}</td>
        <td class="n">${pair(computeMs, formatMilliseconds)}</td>
        <td class="n">${pair(utilisation, (fraction) => `${Math.round(100 * fraction)} %`)}</td>
        <td class="n">${pair(memoryBytes, formatBytes)}</td>
        <td class="n">${pair(bytesUp, formatBytes)}</td>
        <td class="n">${pair(bytesDown, formatBytes)}</td>
      </tr>`,
  );
}

/** What a round takes each device beside computing; nothing where no contribution says. */
function exchangeTable(groups: readonly GroupComparison[]): Markup | undefined {
  const rows = groups.flatMap(placed).flatMap(([place, { name, exchange }]) => {
    if (exchange === undefined) return [];
    const { receiveMs, encodeMs, sendMs, waitMs, sends } = exchange;
    return html`<tr>
      <td>${place}</td>
      <td class="name">${name}</td>
      ${[receiveMs, encodeMs, sendMs, waitMs].map((ms) => html`<td class="n">${pair(ms, formatMilliseconds)}</td>`)}
      <td class="name">${uplinkInWords(sends)}</td>
    </tr>`;
  });
  if (rows.length === 0) return undefined;
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          <th>Stage</th>
          <th>Device</th>
          <th class="n">Receives</th>
          <th class="n">Codes</th>
          <th class="n">Sends</th>
          <th class="n">Waits</th>
          <th>Uplink</th>
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;
}

/** The devices of a group, each with the number of its first stage. */
function placed({ number, stages }: GroupComparison): readonly (readonly [place: string, device: DeviceComparison])[] {
  return stages.flatMap((devices, stage) => devices.map((device) => [stages.length > 1 ? `${number}.${stage + 1}` : String(number), device] as const));
}

function pair({ planned, measured }: Compared, format: (value: number) => string): string {
  const known = (value: number) => (Number.isNaN(value) ? '–' : format(value));
  return `${known(planned)} → ${known(measured)}`;
}
