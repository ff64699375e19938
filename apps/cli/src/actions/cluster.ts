import type { NodeRow } from '@longtail/protocol';
import { formatBitRate, formatBytes, formatCount, formatMilliseconds, formatSeconds } from '@longtail/core';
import { ask, type ServerChoice } from '../process/identity.js';
import type { Output } from '../terminal/output.js';
import { largestPass, moment, percent, showLoss } from '../view/marks.js';
import { renderTable } from '../view/table.js';

interface NodesOptions extends ServerChoice {
  readonly all?: boolean;
}

export async function nodes(output: Output, options: NodesOptions): Promise<number> {
  const { list, server } = await ask(options, async (client, signal) => ({ list: await client.listNodes(signal, { gone: options.all ?? false }), server: client.server }));
  const { nodes: rows, gone } = list;
  const { standbyAddress, standbyState } = server;
  if (output.json) {
    rows.forEach((row) => output.event({ event: 'node', ...row }));
    gone.forEach((row) => output.event({ event: 'node_gone', ...row }));
    if (standbyAddress !== '') output.event({ event: 'standby', address: standbyAddress, state: standbyState });
    return 0;
  }
  if (rows.length === 0) output.line(`no worker has joined; on each machine: longtail join ${options.server}`);
  else {
    const cells = rows.map(({ node, name, device, state, paused, run, link, maxUploadBitsPerSecond, samplesPerSecond, samplesApplied, ...profile }) => [
      node,
      name,
      device.engine,
      device.description,
      String(device.throttle),
      device.memoryBytes > 0 ? formatBytes(device.memoryBytes) : '–',
      paused === '' ? state : `${state}: ${paused}`,
      run || '–',
      ...(link.upBitsPerSecond > 0
        ? [upCell(link.upBitsPerSecond, maxUploadBitsPerSecond), formatBitRate(link.downBitsPerSecond), formatMilliseconds(link.roundTripMs)]
        : [upCell(0, maxUploadBitsPerSecond), '–', '–']),
      passCell(profile),
      samplesPerSecond > 0 ? formatCount(samplesPerSecond) : '–',
      formatCount(samplesApplied),
    ]);
    const headings = ['node', 'name', 'engine', 'device', 'pace', 'offers', 'state', 'run', 'up', 'down', 'round trip', 'blocks timed', 'samples/s', 'samples'];
    output.line(renderTable(headings, cells, output.colors, 8));
  }
  if (standbyAddress !== '') output.line(`standby: ${standbyAddress}, ${standbyState}`);
  if (gone.length > 0) {
    const cells = gone.map(({ node, name, engine, device, firstSeenAtMs, lastSeenAtMs }) => [node, name, engine, device, moment(firstSeenAtMs), moment(lastSeenAtMs)]);
    output.line(`\n${renderTable(['gone', 'name', 'engine', 'device', 'first seen', 'last seen'], cells, output.colors)}`);
  }
  return 0;
}

/** `8 of gpt: 29 ms × 4`, what the blocks of the job that they were last timed for take, forward and backward, at the largest microbatch. */
function passCell({ profiledJob, blocks }: Pick<NodeRow, 'profiledJob' | 'blocks'>): string {
  if (blocks.length === 0) return '–';
  const { count, microbatch, ms } = largestPass(blocks);
  return `${count} of ${profiledJob}: ${formatMilliseconds(ms)} × ${microbatch}`;
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

interface RunsOptions extends ServerChoice {
  readonly limit: number;
  readonly status?: string;
}

export async function runs(output: Output, options: RunsOptions): Promise<number> {
  const { limit, status = '' } = options;
  const rows = (await ask(options, (client, signal) => client.listRuns({ limit, status }, signal))).runs;
  if (output.json) rows.forEach((row) => output.event({ event: 'run', ...row }));
  else if (rows.length === 0) output.line(status === '' ? `no run yet: longtail launch job.yaml --server ${options.server}` : `no run is ${status}`);
  else {
    const cells = rows.map(({ run, name, model, status, createdAtMs, endedAtMs, samples, version, folder }) => [
      run,
      name,
      model,
      status,
      moment(createdAtMs),
      endedAtMs > 0 ? formatSeconds((endedAtMs - createdAtMs) / 1000) : '–',
      formatCount(samples),
      String(version),
      folder,
    ]);
    output.line(renderTable(['run', 'job', 'model', 'status', 'began', 'took', 'samples', 'version', 'folder'], cells, output.colors));
  }
  return 0;
}

export async function cancel(output: Output, options: ServerChoice, run: string): Promise<number> {
  const { status } = await ask(options, (client, signal) => client.cancel({ run, reason: 'asked for with `longtail cancel`' }, signal));
  if (output.json) output.event({ event: 'cancel', run, status });
  else output.line(`${run}: ${status}`);
  return 0;
}
