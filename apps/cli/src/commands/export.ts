import type { Command } from 'commander';
import { RUN_FILES } from '@longtail/store/run-files';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { runsOption } from './options.js';

export function exportCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('export')
    .argument('<run>', 'id of a run, or the path of its folder')
    .summary('take the model of a run')
    .description('Copies the trained model of a run: a safetensors file, and beside it a JSON file that says what it is.')
    .option('-o, --output <file>', 'where to write it', RUN_FILES.model)
    .addOption(runsOption());
  examples(command, [
    ['longtail export 1f0c7a2b', `writes ${RUN_FILES.model} here`],
    ['longtail export 1f0c7a2b --output /tmp/mnist.safetensors', 'or elsewhere'],
  ]);
  bind(command, outcome, async () => (await import('../actions/export.js')).exportModel);
}
