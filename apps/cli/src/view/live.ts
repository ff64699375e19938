import { formatBytes, formatCount, formatSeconds } from '@longtail/core';
import type { Colors } from './colors.js';
import { bar, percent, showLoss, sparkline } from './marks.js';
import type { RunProgress, WorkerProgress } from './progress.js';
import { fractionDone, profilingLine, secondsLeft, showFragments, workersByName } from './progress.js';

/** The run as a block of lines that is drawn over itself. `nowMs` is wall time, on the same axis as the events. */
export function renderLive(progress: RunProgress, nowMs: number, width: number, colors: Colors): string[] {
  const lines = [header(progress, colors), ''];
  if (progress.startedAtMs !== undefined) lines.push(...training(progress, nowMs, width, colors), '');
  if (progress.phase !== 'training' && progress.phase !== 'done') lines.push(colors.dim(waitingLine(progress, nowMs)), '');
  if (progress.workers.size > 0) lines.push(...workerLines(workersByName(progress), colors));
  return lines;
}

function header(progress: RunProgress, { bold, dim }: Colors): string {
  const parts = [progress.run];
  if (progress.parameters > 0) parts.push(`${formatCount(progress.parameters)} parameters`);
  return `${bold(progress.job?.name ?? 'run')} ${dim(parts.join(' · '))}`;
}

function waitingLine(progress: RunProgress, nowMs: number): string {
  const waited = progress.submittedAtMs > 0 && progress.startedAtMs === undefined ? `, ${formatSeconds(Math.max(0, nowMs - progress.submittedAtMs) / 1000)}` : '';
  const profiling = profilingLine(progress);
  if (profiling !== undefined) return profiling + waited;
  switch (progress.phase) {
    case 'waiting':
      return `waiting for workers: ${progress.waitingFor}${waited}`;
    case 'preparing':
      return `workers build the model and load the data${waited}`;
    default:
      return `submitted${waited}`;
  }
}

function training(progress: RunProgress, nowMs: number, width: number, { bold, cyan, dim, green }: Colors): string[] {
  const fraction = fractionDone(progress);
  const left = secondsLeft(progress);
  const gone = formatSeconds(Math.max(0, nowMs - (progress.startedAtMs ?? nowMs)) / 1000);
  const place = ` ${percent(fraction).padStart(5)}  epoch ${progress.epoch.toFixed(2)} of ${showEpochs(progress.epochsTotal)}  `;
  const times = `${gone} gone${left === undefined ? '' : `, ${formatSeconds(left)} left`}`;
  const barWidth = Math.max(10, Math.min(40, width - place.length - times.length));
  const figures = [
    `loss ${bold(progress.loss === undefined ? '–' : showLoss(progress.loss))}`,
    ...(progress.accuracy ? [`accuracy ${bold(percent(progress.accuracy, 2))}`] : []),
    `${bold(formatCount(progress.samplesPerSecond ?? 0))} samples/s`,
    `up ${formatBytes(progress.bytesUp)}`,
    `down ${formatBytes(progress.bytesDown)}`,
    ...(progress.fragments.length === 0 ? [] : [showFragments(progress)]),
  ];
  const { validation } = progress;
  return [
    `${cyan(bar(fraction, barWidth, '░'))}${place}${dim(times)}`,
    figures.join(dim(' · ')),
    ...(progress.sync === undefined ? [] : [dim(shortened(`sync: ${progress.sync}`, width))]),
    dim(sparkline(progress.losses, Math.max(10, Math.min(60, width - 4)))),
    validation === undefined
      ? dim('validation: not yet')
      : green(
          `validation: loss ${showLoss(validation.loss)}${validation.accuracy > 0 ? `, accuracy ${percent(validation.accuracy, 2)}` : ''} after ${validation.epoch.toFixed(2)} epochs`,
        ),
  ];
}

function shortened(text: string, width: number): string {
  return text.length < width ? text : `${text.slice(0, width - 2)}…`;
}

function showEpochs(count: number): string {
  return Number.isInteger(count) ? String(count) : count.toFixed(2);
}

function workerLines(workers: readonly WorkerProgress[], { dim, yellow, cyan }: Colors): string[] {
  const nameWidth = Math.min(24, Math.max(6, ...workers.map((worker) => worker.name.length)));
  const steps = workers.some(({ localSteps }) => localSteps !== undefined);
  const stepsCell = (text: string) => (steps ? `  ${text.padStart(11)}` : '');
  const heading = `${'worker'.padEnd(nameWidth)}  ${'engine'.padEnd(10)}  ${'pace'.padStart(5)}  ${'share'.padEnd(17)}  ${'samples/s'.padStart(9)}  ${'samples'.padStart(8)}${stepsCell('local steps')}`;
  const rows = workers.map((worker) => {
    const name = worker.name.slice(0, nameWidth).padEnd(nameWidth);
    if (worker.gone !== undefined) return yellow(`${name}  gone: ${worker.gone}`);
    if (worker.paused !== undefined) return yellow(`${name}  paused: ${worker.paused}`);
    const share = `${cyan(bar(worker.share, 10))} ${percent(worker.share, 1).padStart(6)}`;
    const rate = formatCount(worker.samplesPerSecond).padStart(9);
    return `${name}  ${worker.engine.padEnd(10)}  ${String(worker.throttle).padStart(5)}  ${share}  ${rate}  ${formatCount(worker.samples).padStart(8)}${stepsCell(String(worker.localSteps ?? '–'))}`;
  });
  return [dim(heading), ...rows];
}
