import type { Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';

export function engineCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('engine')
    .summary('install, list and measure engines')
    .description('The engines that compute on this machine.');
  examples(command, [
    ['longtail engine list', 'what is there'],
    ['longtail engine install', 'build what is missing'],
  ]);
  installCommand(command, outcome);
  listCommand(command, outcome);
  measureCommand(command, outcome);
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
  bind(command, outcome, async () => (await import('../actions/engine.js')).install);
}

function listCommand(parent: Command, outcome: Outcome): void {
  const command = parent.command('list').summary('list the engines').description('Lists the engines and whether this machine has them.');
  examples(command, [['longtail engine list', 'what is there']]);
  bind(command, outcome, async () => (await import('../actions/engine.js')).list);
}

function measureCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('measure')
    .summary('measure the engines')
    .description('Measures the engines of this machine at a training step of a small network.');
  examples(command, [['longtail engine measure', 'a second or two each']]);
  bind(command, outcome, async () => (await import('../actions/engine.js')).measure);
}
