import type { Command } from 'commander';
import { formatCount } from '@longtail/core';
import type { ControlClient } from '@longtail/transport';
import { connectClient } from '@longtail/transport';
import type { Output } from '../terminal/output.js';
import { percent, showLoss } from '../view/marks.js';
import { renderTable } from '../view/summary.js';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { DEFAULT_SERVER, serverOption } from './options.js';

interface ServerOptions {
  readonly server: string;
}

export function nodesCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('nodes')
    .summary('list the workers of a server')
    .description('Lists the workers that have joined a server.')
    .addOption(serverOption());
  examples(command, [
    ['longtail nodes', `those of ${DEFAULT_SERVER}`],
    ['longtail nodes --json', 'one JSON line each'],
  ]);
  bind(command, outcome, nodes);
}

async function nodes(output: Output, options: ServerOptions): Promise<number> {
  const rows = (await ask(options, (client, signal) => client.listNodes(signal))).nodes;
  if (output.json) rows.forEach((row) => output.event({ event: 'node', ...row }));
  else if (rows.length === 0) output.line(`no worker has joined; on each machine: longtail join ${options.server}`);
  else {
    const cells = rows.map(({ node, name, device, state, run, samplesPerSecond, samplesApplied }) => [
      node,
      name,
      device.engine,
      device.description,
      String(device.throttle),
      state,
      run || '–',
      samplesPerSecond > 0 ? formatCount(samplesPerSecond) : '–',
      formatCount(samplesApplied),
    ]);
    output.line(renderTable(['node', 'name', 'engine', 'device', 'pace', 'state', 'run', 'samples/s', 'samples'], cells, output.colors, 7));
  }
  return 0;
}

export function jobsCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('jobs')
    .summary('list the runs of a server')
    .description('Lists the runs of a server, the latest last.')
    .addOption(serverOption());
  examples(command, [
    ['longtail jobs', `those of ${DEFAULT_SERVER}`],
    ['longtail jobs --json', 'one JSON line each'],
  ]);
  bind(command, outcome, jobs);
}

async function jobs(output: Output, options: ServerOptions): Promise<number> {
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

export function cancelCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('cancel')
    .argument('<run>', 'id of the run, as `longtail jobs` lists it')
    .summary('end a run')
    .description('Ends a run. What it learnt so far is saved as its model.')
    .addOption(serverOption());
  examples(command, [['longtail cancel 1f0c7a2b', 'end this run']]);
  bind(command, outcome, cancel);
}

async function cancel(output: Output, options: ServerOptions, run: string): Promise<number> {
  const { status } = await ask(options, (client, signal) => client.cancel({ run, reason: 'cancelled with `longtail cancel`' }, signal));
  if (output.json) output.event({ event: 'cancel', run, status });
  else output.line(`${run}: ${status}`);
  return 0;
}

async function ask<Reply>(
  { server }: ServerOptions,
  question: (client: ControlClient, signal: AbortSignal) => Promise<Reply>,
): Promise<Reply> {
  const { signal } = new AbortController();
  const client = await connectClient(server, signal);
  try {
    return await question(client, signal);
  } finally {
    client.close();
  }
}
