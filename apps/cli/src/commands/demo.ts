import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import type { JobDocument } from '@longtail/spec';
import { connectClient } from '@longtail/transport';
import type { EngineChoice } from '@longtail/worker';
import { Interruption } from '../process/interruption.js';
import { LocalCluster } from '../process/local-cluster.js';
import type { Output } from '../terminal/output.js';
import { readJobFile } from '../terminal/read-job-file.js';
import { runJob } from '../terminal/run-job.js';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { engineOption, paces, runsOption, wholeNumber } from './options.js';

const DEMO_JOB = fileURLToPath(new URL('../../../../examples/mnist.yaml', import.meta.url));
/** A 4090, a 3080, a 3060 and a 2060, more or less. */
const DEMO_PACES = [1, 0.6, 0.4, 0.25];

interface DemoOptions {
  readonly job: string;
  readonly workers: number;
  readonly paces: readonly number[];
  readonly engine: EngineChoice;
  readonly threads?: number;
  readonly runs: string;
}

export function demoCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('demo')
    .summary('train a model on unequal workers, here and now')
    .description(
      'Starts a parameter server and workers of unequal speed on this machine, trains a model on them and shows who does what.\nEverything it starts ends with it. Ctrl-C cancels the run; what it learnt is saved.',
    )
    .option('-j, --job <file>', 'job file to run', DEMO_JOB)
    .option('-w, --workers <count>', 'workers to start', wholeNumber(1, 64), DEMO_PACES.length)
    .option('--paces <list>', 'speed of each worker as a fraction of the device, repeated as needed', paces, DEMO_PACES)
    .addOption(engineOption())
    .option('--threads <count>', 'threads of each worker; default: the cores shared out, at least 1', wholeNumber(1, 1024))
    .addOption(runsOption());
  examples(command, [
    ['longtail demo', 'a CNN on MNIST, four workers at 1 : 0.6 : 0.4 : 0.25'],
    ['longtail demo --job examples/gpt-gutenberg.yaml', 'another job'],
    ['longtail demo --workers 2 --paces 1,0.1', 'other workers'],
    ['longtail demo --json | tail -1', 'the verdict as JSON'],
  ]);
  bind(command, outcome, demo);
}

async function demo(output: Output, options: DemoOptions): Promise<number> {
  const job = await readJobFile(options.job);
  const document = { ...job, cluster: { ...job.cluster, minWorkers: options.workers } };
  const cluster = new LocalCluster(
    {
      runsFolder: resolve(options.runs),
      engine: options.engine,
      paces: Array.from({ length: options.workers }, (_, i) => options.paces[i % options.paces.length]!),
      threads: options.threads ?? Math.max(1, Math.floor(availableParallelism() / options.workers)),
      // The job and the machine belong to the same person.
      allowCode: true,
    },
    output,
  );
  const interruption = new Interruption(
    () => output.note('cancelling; the model is saved first (Ctrl-C again to leave at once)'),
    () => cluster.kill(),
  );
  try {
    return await Promise.race([runOn(cluster, document, output, interruption.signal), rejectWith(cluster.failed)]);
  } finally {
    await cluster.end();
    interruption.restore();
  }
}

async function runOn(cluster: LocalCluster, document: JobDocument, output: Output, interruption: AbortSignal): Promise<number> {
  const address = await cluster.start();
  interruption.throwIfAborted();
  const client = await connectClient(address, interruption);
  try {
    return await runJob(client, document, output, interruption);
  } finally {
    client.close();
  }
}

async function rejectWith(error: Promise<Error>): Promise<never> {
  throw await error;
}
