import { Option, type Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { DEFAULT_SERVER, serverOption, tokenOption, wholeNumber } from './options.js';

export function nodesCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('nodes')
    .summary('list the workers of a server')
    .description('Lists the workers that have joined a server.')
    .option('--all', 'also those that were here once')
    .addOption(serverOption())
    .addOption(tokenOption());
  examples(command, [
    ['longtail nodes', `those of ${DEFAULT_SERVER}`],
    ['longtail nodes --all', 'and who was here once, and when'],
    ['longtail nodes --json', 'one JSON line each'],
  ]);
  bind(command, outcome, async () => (await import('../actions/cluster.js')).nodes);
}

export function jobsCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('jobs')
    .summary('show what a server is at')
    .description('Lists the runs that a server has, with their progress, the latest last. `longtail runs` lists all that it ever had.')
    .addOption(serverOption())
    .addOption(tokenOption());
  examples(command, [
    ['longtail jobs', `those of ${DEFAULT_SERVER}`],
    ['longtail jobs --json', 'one JSON line each'],
  ]);
  bind(command, outcome, async () => (await import('../actions/cluster.js')).jobs);
}

export function runsCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('runs')
    .summary('list all runs that a server ever had')
    .description("Lists the runs that are in a server's database, also those of servers before it, the newest first.")
    .option('-n, --limit <count>', 'how many', wholeNumber(1, 10_000), 20)
    .addOption(new Option('--status <status>', 'those alone').choices(['running', 'interrupted', 'succeeded', 'failed', 'cancelled']))
    .addOption(serverOption())
    .addOption(tokenOption());
  examples(command, [
    ['longtail runs', `the latest of ${DEFAULT_SERVER}`],
    ['longtail runs --status interrupted', 'what longtail resume may go on with'],
    ['longtail runs --limit 1000 --json', 'one JSON line each'],
  ]);
  bind(command, outcome, async () => (await import('../actions/cluster.js')).runs);
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
