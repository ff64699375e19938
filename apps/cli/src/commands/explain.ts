import type { Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { runsOption } from './options.js';

export function explainCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('explain')
    .argument('<run>', 'id of a run, or the path of its folder')
    .summary("hold a run's plan against what was measured")
    .description(
      'Puts what the plan of a run predicted beside what was measured, stage by stage: times, memory, bytes, utilisation; and says what strays furthest and why. From the events in the folder of the run, which may still be going.',
    )
    .addOption(runsOption());
  examples(command, [
    ['longtail explain 1f0c7a2b', 'predicted → measured'],
    ["longtail explain 1f0c7a2b --json | jq '.roundMs'", 'as JSON'],
  ]);
  bind(command, outcome, async () => (await import('../actions/explain.js')).explain);
}
