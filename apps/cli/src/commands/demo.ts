import { fileURLToPath } from 'node:url';
import { type Command, Option } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { engineOption, paces, runsOption, wholeNumber } from './options.js';

const DEMO_JOB = fileURLToPath(new URL('../../../../examples/mnist.yaml', import.meta.url));

/** A 4090, a 3080, a 3060 and a 2060, more or less. */
const DEMO_PACES = [1, 0.6, 0.4, 0.25];

export function demoCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('demo')
    .summary('train a model on unequal workers, here and now')
    .description(
      'Starts a parameter server and workers of unequal speed on this machine, trains a model on them and shows who does what.\nEverything it starts ends with it. Ctrl-C cancels the run; what it learnt is saved.',
    )
    .addOption(new Option('-j, --job <file>', 'job file to run').default(DEMO_JOB, 'examples/mnist.yaml'))
    .option('-w, --workers <count>', 'workers to start', wholeNumber(1, 64), DEMO_PACES.length)
    .addOption(
      new Option('--paces <list>', 'speed of each worker as a fraction of the device, repeated as needed')
        .argParser(paces)
        .default(DEMO_PACES, DEMO_PACES.join(',')),
    )
    .addOption(engineOption())
    .option('--threads <count>', 'threads of each worker; default: the cores shared out, at least 1', wholeNumber(1, 1024))
    .addOption(runsOption());
  examples(command, [
    ['longtail demo', 'a CNN on MNIST, four workers at 1 : 0.6 : 0.4 : 0.25'],
    ['longtail demo --job examples/gpt-gutenberg.yaml', 'another job'],
    ['longtail demo --workers 2 --paces 1,0.1', 'other workers'],
    ['longtail demo --json | tail -1', 'the verdict as JSON'],
  ]);
  bind(command, outcome, async () => (await import('../actions/demo.js')).demo);
}
