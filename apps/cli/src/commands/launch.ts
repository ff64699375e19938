import type { Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { recordOption, serverOption, setOption, tokenOption } from './options.js';

export function launchCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('launch')
    .argument('<job>', 'job file (YAML)')
    .summary('run a job on a server')
    .description('Runs a job on a server and shows it as it goes. Ctrl-C cancels the run; what it learnt is saved.')
    .addOption(serverOption())
    .addOption(tokenOption())
    .addOption(setOption())
    .addOption(recordOption())
    .option('-d, --detach', 'launch, print the name of the run and leave');
  examples(command, [
    ['longtail launch examples/mnist.yaml', 'run it on the server of this machine'],
    ['longtail launch job.yaml --server 10.0.0.5:7077', 'run it on another'],
    ['longtail launch job.yaml --set train.epochs=3', 'with another value than the file says'],
    ['longtail launch job.yaml --detach', 'do not wait; see it later with `longtail logs RUN --follow`'],
    ['longtail launch job.yaml --record', 'so that `longtail replay RUN` can compute its parameters again'],
  ]);
  bind(command, outcome, async () => (await import('../actions/launch.js')).launch);
}
