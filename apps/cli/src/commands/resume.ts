import { Option, type Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { serverOption, setOption, tokenOption, wholeNumber } from './options.js';

export function resumeCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('resume')
    .argument('<run>', 'id of the run, as `longtail jobs` lists it')
    .summary('go on with a run that failed or was cancelled')
    .description(
      'Goes on with a run from its last checkpoint, on the server whose runs folder it is in, and shows it as it goes. What came after that checkpoint is undone and learnt again. Runs whose server died need no such word: `longtail up` goes on with them by itself.',
    )
    .addOption(serverOption())
    .addOption(tokenOption())
    .addOption(detachOption());
  examples(command, [
    ['longtail resume 1f0c7a2b', 'go on with this run'],
    ['longtail resume 1f0c7a2b --detach', 'and do not wait for its end'],
    ['longtail resume 1f0c7a2b --json | tail -1', 'the verdict as JSON'],
  ]);
  bind(command, outcome, async () => (await import('../actions/resume.js')).resume);
}

export function forkCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('fork')
    .argument('<run>', 'id of the run to begin with')
    .summary('begin a run with what another one learnt')
    .description(
      'Launches a run of the same model and data that begins with the parameters, the optimizer and the data cursor of a checkpoint of another run, which stays as it is. Fields of its job may be set to something else.',
    )
    .option('--at <version>', 'version to begin with; default: the newest checkpoint', wholeNumber(1, 4_294_967_295))
    .addOption(setOption())
    .addOption(serverOption())
    .addOption(tokenOption())
    .addOption(detachOption());
  examples(command, [
    ['longtail fork 1f0c7a2b --set train.epochs=4', 'learn on, for more epochs'],
    ['longtail fork 1f0c7a2b --at 1200 --set train.learningRate=0.0001', 'from version 1200, at another rate'],
  ]);
  bind(command, outcome, async () => (await import('../actions/resume.js')).fork);
}

function detachOption(): Option {
  return new Option('-d, --detach', 'print the name of the run and leave');
}
