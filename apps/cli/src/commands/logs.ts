import type { Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { runsOption, serverOption, tokenOption } from './options.js';

export function logsCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('logs')
    .argument('<run>', 'name of a run, or the path of its folder')
    .summary('tell what happened in a run')
    .description(
      'Tells what happened in a run, from its folder. With --follow, and for runs of another machine, from its server until it ends.',
    )
    .option('-f, --follow', 'go on until the run ends')
    .addOption(serverOption())
    .addOption(tokenOption())
    .addOption(runsOption());
  examples(command, [
    ['longtail logs 1f0c7a2b', 'what happened so far'],
    ['longtail logs 1f0c7a2b --follow', 'and what happens next'],
    ['longtail logs 1f0c7a2b --json | jq \'select(.event == "commit").loss\'', 'the loss of every commit'],
  ]);
  bind(command, outcome, async () => (await import('../actions/logs.js')).logs);
}
