import { formatBitRate, formatCount, formatMilliseconds } from '@longtail/core';
import { ask, type ServerChoice } from '../process/identity.js';
import type { Output } from '../terminal/output.js';
import { percent, showLoss } from '../view/marks.js';
import { renderTable } from '../view/summary.js';

export async function nodes(output: Output, options: ServerChoice): Promise<number> {
  const rows = (await ask(options, (client, signal) => client.listNodes(signal))).nodes;
  if (output.json) rows.forEach((row) => output.event({ event: 'node', ...row }));
  else if (rows.length === 0) output.line(`no worker has joined; on each machine: longtail join ${options.server}`);
  else {
    const cells = rows.map(({ node, name, device, state, paused, run, link, maxUploadBitsPerSecond, samplesPerSecond, samplesApplied }) => [
      node,
      name,
      device.engine,
      device.description,
      String(device.throttle),
      paused === '' ? state : `${state}: ${paused}`,
      run || '–',
      ...(link.upBitsPerSecond > 0
        ? [upCell(link.upBitsPerSecond, maxUploadBitsPerSecond), formatBitRate(link.downBitsPerSecond), formatMilliseconds(link.roundTripMs)]
        : [upCell(0, maxUploadBitsPerSecond), '–', '–']),
      samplesPerSecond > 0 ? formatCount(samplesPerSecond) : '–',
      formatCount(samplesApplied),
    ]);
    output.line(renderTable(['node', 'name', 'engine', 'device', 'pace', 'state', 'run', 'up', 'down', 'round trip', 'samples/s', 'samples'], cells, output.colors, 7));
  }
  return 0;
}

/** `18 Mbit/s`, with the owner's limit where there is one. */
function upCell(bitsPerSecond: number, limit: number): string {
  const measured = bitsPerSecond > 0 ? formatBitRate(bitsPerSecond) : '–';
  return limit > 0 ? `${measured} (at most ${formatBitRate(limit)})` : measured;
}

export async function jobs(output: Output, options: ServerChoice): Promise<number> {
  const rows = (await ask(options, (client, signal) => client.listJobs(signal))).jobs;
  if (output.json) rows.forEach((row) => output.event({ event: 'job', ...row }));
  else if (rows.length === 0) output.line(`no job yet: longtail launch job.yaml --server ${options.server}`);
  else {
    const cells = rows.map(({ run, name, status, progress, loss, workers, folder }) => [
      run,
      name,
      status,
      percent(progress),
      Number.isFinite(loss) && loss > 0 ? showLoss(loss) : '–',
      String(workers),
      folder,
    ]);
    output.line(renderTable(['run', 'job', 'status', 'done', 'loss', 'workers', 'folder'], cells, output.colors));
  }
  return 0;
}

export async function cancel(output: Output, options: ServerChoice, run: string): Promise<number> {
  const { status } = await ask(options, (client, signal) => client.cancel({ run, reason: 'asked for with `longtail cancel`' }, signal));
  if (output.json) output.event({ event: 'cancel', run, status });
  else output.line(`${run}: ${status}`);
  return 0;
}
