import type { Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { DEFAULT_SERVER, serverOption, tokenOption } from './options.js';

export function nodesCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('nodes')
    .summary('list the workers of a server')
    .description('Lists the workers that have joined a server.')
    .addOption(serverOption())
    .addOption(tokenOption());
  examples(command, [
    ['longtail nodes', `those of ${DEFAULT_SERVER}`],
    ['longtail nodes --json', 'one JSON line each'],
  ]);
  bind(command, outcome, async () => (await import('../actions/cluster.js')).nodes);
}

export function jobsCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('jobs')
    .summary('list the runs of a server')
    .description('Lists the runs of a server, the latest last.')
    .addOption(serverOption())
    .addOption(tokenOption());
  examples(command, [
    ['longtail jobs', `those of ${DEFAULT_SERVER}`],
    ['longtail jobs --json', 'one JSON line each'],
  ]);
  bind(command, outcome, async () => (await import('../actions/cluster.js')).jobs);
}

export function cancelCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('cancel')
    .argument('<run>', 'id of the run, as `longtail jobs` lists it')
    .summary('end a run')
    .description('Ends a run. What it learnt so far is saved as its model.')
    .addOption(serverOption())
    .addOption(tokenOption());
  examples(command, [['longtail cancel 1f0c7a2b', 'end this run']]);
  bind(command, outcome, async () => (await import('../actions/cluster.js')).cancel);
}
