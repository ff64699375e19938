import type { LeftOut, Plan, PlannedDevice, PlannedGroup, PlannedStage } from '@longtail/core';
import { formatBytes, formatCount, formatMilliseconds } from '@longtail/core';
import type { Colors } from './colors.js';
import { percent } from './marks.js';
import { renderTable } from './table.js';

const HEADINGS = ['group', 'blocks', 'device', 'share', 'steps', 'microbatch', 'memory', 'offered', 'step', 'exchange', 'busy', 'up', 'down'];

/** So many rows of a kind are shown one by one. */
const ROWS = 24;

/** A plan for people: the verdict, who does what, why, who does nothing and why, what to know. */
export function planLines(plan: Plan, colors: Colors): readonly string[] {
  const { dim, yellow } = colors;
  const devices = new Set(plan.groups.flatMap((group) => group.stages.flatMap((stage) => stage.devices.map(({ device }) => device))));
  const rows = plan.groups.flatMap((group, g) =>
    group.stages.flatMap((stage, s) => stage.devices.map((device) => rowOf(g, s, group, stage, device))),
  );
  return [
    ...verdict(plan, colors),
    '',
    ...renderTable(HEADINGS, rows.slice(0, ROWS), colors, 3).split('\n'),
    ...more(rows.length, 'devices', dim),
    '',
    ...reasons(plan, colors),
    ...(plan.leftOut.length > 0
      ? ['', `left out ${plan.leftOut.length} of ${plan.leftOut.length + devices.size}`, ...leftOutLines(plan.leftOut, dim)]
      : []),
    ...(plan.notes.length > 0 ? ['', ...plan.notes.map((note) => yellow(`note: ${note}`))] : []),
  ];
}

function verdict(plan: Plan, { bold, dim }: Colors): readonly string[] {
  const pipelines = plan.groups.filter(({ kind }) => kind === 'pipeline').length;
  const layout = [counted(plan.groups.length - pipelines, 'solo worker'), counted(pipelines, 'pipeline')].filter(Boolean).join(' and ');
  const step = `a step of ${plan.batch} samples ${bold(formatMilliseconds(plan.stepMs))}`;
  const round = `a round of up to ${formatCount(plan.stepsPerRound)} steps of ${plan.batch} samples a group, ${formatCount(plan.samplesPerRound)} in all, ${bold(formatMilliseconds(plan.roundMs))}`;
  const proof =
    plan.method === 'exact'
      ? 'every layout was weighed: none is faster'
      : `${plan.method === 'given' ? 'the layout was given; ' : ''}no layout exceeds ${formatCount(plan.boundSamplesPerSecond)} samples/s: a gap of ${percent(plan.gap, 1)}`;
  const traffic = `a round moves ${formatBytes(plan.bytesUpPerRound)} up, ${formatBytes(plan.bytesDownPerRound)} down`;
  return [
    `${plan.model}: ${layout}`,
    `${bold(`${formatCount(plan.samplesPerSecond)} samples/s`)}, ${plan.stepsPerRound === 1 ? step : round}; ${traffic}`,
    dim(proof),
  ];
}

function counted(count: number, noun: string): string {
  return count === 0 ? '' : `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function rowOf(g: number, s: number, group: PlannedGroup, stage: PlannedStage, device: PlannedDevice): readonly string[] {
  const name = group.stages.length > 1 ? `${g + 1}.${s + 1}` : `${g + 1}`;
  const [first, last] = stage.names;
  return [
    name,
    `${first === last ? first : `${first} – ${last}`}${stage.recompute ? ' ↻' : ''}`,
    `${device.device} ${device.name}`,
    percent(group.share, 1),
    formatCount(group.steps),
    `${group.microbatches} × ${group.microbatch}`,
    formatBytes(device.memory.total),
    formatBytes(device.offeredBytes),
    formatMilliseconds(group.stepMs),
    formatMilliseconds(group.exchangeMs),
    percent(device.utilisation),
    formatBytes(device.bytesUpPerRound),
    formatBytes(device.bytesDownPerRound),
  ];
}

/** Why each stage runs where it does; a bubble only where there is a pipeline. */
function reasons(plan: Plan, { dim }: Colors): readonly string[] {
  const lines = plan.groups.flatMap((group, g) => {
    const bubble = group.stages.length > 1 ? [`${g + 1}: its busiest stage waits ${percent(group.bubble)} of a step`] : [];
    const stages = group.stages.map((stage, s) => `${group.stages.length > 1 ? `${g + 1}.${s + 1}` : g + 1}: ${stage.reason}`);
    return [...bubble, ...stages];
  });
  return [...lines.slice(0, ROWS).map((line) => dim(line)), ...more(lines.length, 'reasons', dim)];
}

/** Devices that share a reason share a line. */
function leftOutLines(leftOut: readonly LeftOut[], dim: (text: string) => string): readonly string[] {
  const byReason = new Map<string, string[]>();
  for (const { device, name, reason } of leftOut)
    byReason.set(`${name}: ${reason}`, [...(byReason.get(`${name}: ${reason}`) ?? []), device]);
  const lines = [...byReason].map(
    ([reason, ids]) => `  ${ids.length > 3 ? `${ids.slice(0, 3).join(', ')} and ${ids.length - 3} more` : ids.join(', ')}, ${reason}`,
  );
  return [...lines.slice(0, ROWS), ...more(lines.length, 'lines', dim)];
}

function more(count: number, noun: string, dim: (text: string) => string): readonly string[] {
  return count > ROWS ? [dim(`… and ${count - ROWS} more ${noun}; --json has all`)] : [];
}
