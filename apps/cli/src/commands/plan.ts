import { type Command, Option } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { serverOption, setOption, tokenOption, wholeNumber } from './options.js';

export function planCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('plan')
    .argument('<job>', 'job file (YAML)')
    .summary('say how a job would be laid over machines, and how fast')
    .description(
      'Plans a job for the workers of a server, or for the machines of a fleet file: who computes what, memory, times, bytes, and why a machine is left out. Nothing runs.\nSpeeds of a fleet file are 35 % of the peak: a prior, for deciding what to rent.',
    )
    .option('-f, --fleet <file>', 'plan for the machines of this file (see `longtail schema fleet`), not for a server')
    .addOption(serverOption())
    .addOption(tokenOption())
    .addOption(setOption())
    .option('--local-steps <count>', 'inner steps a round; 1: every gradient is exchanged; default: as the job says', wholeNumber(1, 100_000))
    .addOption(
      new Option('--recompute <when>', "compute activations again in the backward pass, to save memory; default: as the job's").choices([
        'never',
        'allowed',
        'always',
      ]),
    )
    .addOption(new Option('--optimizer-bits <bits>', "of a value of Adam's moments; default: as the job's").choices(['8', '32']))
    .addOption(
      new Option('--activation-bits <bits>', "of a value between the stages of a pipeline; default: as the job's codec").choices(['8', '16', '32']),
    );
  examples(command, [
    ['longtail plan examples/gpt-gutenberg.yaml --fleet examples/fleets/friends.yaml', 'before renting or borrowing'],
    ['longtail plan job.yaml --server 10.0.0.5:7077', 'for the workers that are there'],
    ['longtail plan job.yaml --fleet fleet.yaml --local-steps 100', 'with an exchange every 100 steps'],
    ['longtail plan job.yaml --fleet fleet.yaml --json | jq .leftOut', 'the whole plan as JSON'],
  ]);
  // What the environment says of a server is no choice against a fleet file, as it would be to Option.conflicts.
  command.hook('preAction', () => {
    if (command.getOptionValue('fleet') !== undefined && command.getOptionValueSource('server') === 'cli')
      command.error("error: option '-f, --fleet <file>' cannot be used with option '-s, --server <address>'");
  });
  bind(command, outcome, async () => (await import('../actions/plan.js')).plan);
}
