import type { Command } from 'commander';
import { formatSeconds } from '@longtail/core';
import { availableEngines } from '@longtail/engine';
import { installNativeEngine, probeNativeEngine } from '@longtail/engine-build';
import { Interruption } from '../process/interruption.js';
import { measureEngines } from '../process/measure-engines.js';
import type { Output } from '../terminal/output.js';
import { renderTable } from '../view/summary.js';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';

export function engineCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('engine')
    .summary('install, list and measure engines')
    .description('The engines that compute on this machine.');
  installCommand(command, outcome);
  listCommand(command, outcome);
  measureCommand(command, outcome);
}

interface InstallOptions {
  readonly cuda?: boolean;
  readonly cpu?: boolean;
  readonly force?: boolean;
  readonly ifPossible?: boolean;
}

function installCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('install')
    .summary('build the tensorflow engine')
    .description(
      'Builds the TensorFlow binding against the libtensorflow of its Python wheel, into a cache of yours; needs a C++ compiler and pip.\nWith an NVIDIA card that it can use it builds for CUDA.',
    )
    .option('--cuda', 'build for CUDA, card or not')
    .option('--cpu', 'build for the processor, card or not')
    .option('--force', 'build again even if it is there')
    .option('--if-possible', 'do nothing where a compiler, pip or disk space is missing, and say so');
  examples(command, [
    ['longtail engine install', 'what fits this machine'],
    ['longtail engine install --cpu --force', 'for the processor, again'],
  ]);
  bind(command, outcome, install);
}

async function install(output: Output, options: InstallOptions): Promise<number> {
  const variant = options.cuda ? 'cuda' : options.cpu ? 'cpu' : 'auto';
  if (options.ifPossible && !(await canInstall(output))) return 0;
  const interruption = new Interruption(() => output.note('stopping'));
  try {
    const result = await installNativeEngine({
      variant,
      force: options.force,
      log: (line) => output.note(line),
      signal: interruption.signal,
    });
    if (output.json) output.event({ event: 'engine', ...result });
    else if (result.status === 'present') output.detail(`the tensorflow engine (${result.variant}) is installed in ${result.path}`);
    else output.line(`tensorflow (${result.variant}) installed in ${formatSeconds(result.seconds)}: ${result.path}`);
    return 0;
  } finally {
    interruption.restore();
  }
}

async function canInstall(output: Output): Promise<boolean> {
  const probe = await probeNativeEngine();
  if (probe.installable || probe.present.length > 0) return true;
  for (const { message, fix, blocking } of probe.problems)
    if (blocking) output.note(`the tensorflow engine is not installed: ${message} ${fix}`);
  return false;
}

function listCommand(parent: Command, outcome: Outcome): void {
  const command = parent.command('list').summary('list the engines').description('Lists the engines and whether this machine has them.');
  examples(command, [['longtail engine list', 'what is there']]);
  bind(command, outcome, list);
}

async function list(output: Output): Promise<number> {
  const engines = await availableEngines();
  if (output.json) engines.forEach((engine) => output.event({ event: 'engine', ...engine }));
  else {
    const rows = engines.map((engine) => [
      engine.name,
      engine.available ? 'available' : `not available: ${engine.reason}`,
      engine.available ? '' : engine.hint,
    ]);
    output.line(renderTable(['engine', 'state', 'fix'], rows, output.colors));
  }
  return 0;
}

function measureCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('measure')
    .summary('measure the engines')
    .description('Measures the engines of this machine at a training step of a small network.');
  examples(command, [['longtail engine measure', 'a second or two each']]);
  bind(command, outcome, measure);
}

async function measure(output: Output): Promise<number> {
  const findings = await measureEngines((finding) => output.event({ event: 'engine', ...finding }));
  if (output.json) return 0;
  const rows = findings.map((finding) =>
    finding.works
      ? [finding.name, `${finding.gflops.toPrecision(2)}`, finding.description]
      : [finding.name, '–', `${finding.reason} ${finding.fix}`],
  );
  output.line(renderTable(['engine', 'GFLOP/s', 'device'], rows, output.colors));
  return 0;
}
