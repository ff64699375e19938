import { Option, type Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { runsOption, wholeNumber } from './options.js';

export function replayCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('replay')
    .argument('<run>', 'id of a run that was launched with --record, or the path of its folder')
    .summary('compute the parameters of a recorded run again')
    .description(
      'Computes every version of the parameters of a run again, from its event log and the contributions that --record kept, and says whether the bits are those of its log, its checkpoints and its model: or which version differs first, and whose contributions made it.\nNeeds neither a server nor the data. Exit codes: 0 they agree, 11 they differ, 4 damaged, 2 not recorded, or not all of it.\nWhere a standby took over, each server has recorded a part: copy what is in one\'s `recording/` into the other\'s.',
    )
    .option('--at <version>', 'version to end with; default: the last one', wholeNumber(1, 4_294_967_295))
    .addOption(new Option('--checkpoints <where>', 'where they are, as `up --checkpoints` was told; default: in the folder of the run').env('LONGTAIL_CHECKPOINTS'))
    .addOption(runsOption());
  examples(command, [
    ['longtail replay 1f0c7a2b', 'the whole run'],
    ['longtail replay 1f0c7a2b --at 1200', 'up to version 1200'],
    ["longtail replay 1f0c7a2b --json | jq '.first'", 'where the bits differ first, and whose they are'],
  ]);
  bind(command, outcome, async () => (await import('../actions/replay.js')).replay);
}
