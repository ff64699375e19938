import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { byteSizes, engineOption, links, paces, recordOption, runsOption, setOption, wholeNumber } from './options.js';

const example = (name: string): string => fileURLToPath(new URL(`../../../../examples/${name}`, import.meta.url));

/** A 4090, a 3080, a 3060 and a 2060, more or less. */
const DEMO = { job: example('mnist.yaml'), workers: 4, paces: [1, 0.6, 0.4, 0.25] };

/** The model's parameters and Adam's moments take 41.1 MiB, what training it takes on top not counted: none of them holds it. */
const PIPELINE_DEMO = {
  job: example('gpt-pipeline.yaml'),
  workers: 5,
  paces: [1, 0.8, 0.6, 0.5, 0.4],
  fitting: true,
  memory: [40, 40, 36, 36, 36].map((mebibytes) => mebibytes * 2 ** 20),
};

export function demoCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('demo')
    .summary('train a model on unequal workers, here and now')
    .description(
      'Starts a parameter server and workers of unequal speed on this machine, trains a model on them and shows who does what.\nEverything it starts ends with it. Ctrl-C cancels the run; what it learnt is saved.',
    )
    .option('--pipeline', 'a model that no worker holds alone, on five workers that the planner makes pipelines of')
    .option('-j, --job <file>', 'job file to run; default: examples/mnist.yaml, with --pipeline examples/gpt-pipeline.yaml')
    .option('-w, --workers <count>', 'workers to start; default: 4, with --pipeline 5', wholeNumber(1, 64))
    .option('--paces <list>', 'speed of each worker as a fraction of the device, repeated as needed; default: 1,0.6,0.4,0.25, with --pipeline 1,0.8,0.6,0.5,0.4 slowed down until all fit on the machine', paces)
    .option('--memory <list>', 'memory that each worker offers, such as 512MiB, repeated as needed; default: all there is', byteSizes)
    .option('--link <link>', 'a slower link that each worker emulates, such as up=20mbit,down=100mbit,rtt=40ms or dsl; given several times, one for each, repeated as needed', links)
    .addOption(engineOption())
    .option('--threads <count>', 'threads of each worker; default: the cores shared out, at least 1', wholeNumber(1, 1024))
    .addOption(setOption())
    .addOption(recordOption())
    .addOption(runsOption());
  examples(command, [
    ['longtail demo', 'a CNN on MNIST, four workers at 1 : 0.6 : 0.4 : 0.25'],
    ['longtail demo --job examples/gpt-gutenberg.yaml', 'another job'],
    ['longtail demo --set train.epochs=1', 'with another value than its file says'],
    ['longtail demo --workers 2 --paces 1,0.1', 'other workers'],
    ['longtail demo --link cable --link dsl,rtt=80ms', 'over home links, emulated'],
    ['longtail demo --pipeline', 'a GPT over workers too small for it'],
    ['longtail demo --json | tail -1', 'the verdict as JSON'],
  ]);
  bind(command, outcome, async () => {
    const { demo } = await import('../actions/demo.js');
    return (output, { pipeline, ...given }: Parameters<typeof demo>[1] & { readonly pipeline?: boolean }) =>
      demo(output, { ...(pipeline ? PIPELINE_DEMO : DEMO), ...(given.paces && { fitting: false }), ...given });
  });
}
