import type { Command } from 'commander';
import type { JobDocument } from '@longtail/spec';
import type { ControlClient } from '@longtail/transport';
import { connectClient } from '@longtail/transport';
import { Interruption } from '../process/interruption.js';
import type { Output } from '../terminal/output.js';
import { readJobFile } from '../terminal/read-job-file.js';
import { runJob } from '../terminal/run-job.js';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { serverOption } from './options.js';

interface LaunchOptions {
  readonly server: string;
  readonly detach?: boolean;
}

export function launchCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('launch')
    .argument('<job>', 'job file (YAML)')
    .summary('run a job on a server')
    .description('Runs a job on a server and shows it as it goes. Ctrl-C cancels the run; what it learnt is saved.')
    .addOption(serverOption())
    .option('-d, --detach', 'launch, print the name of the run and leave');
  examples(command, [
    ['longtail launch examples/mnist.yaml', 'run it on the server of this machine'],
    ['longtail launch job.yaml --server 10.0.0.5:7077', 'run it on another'],
    ['longtail launch job.yaml --detach', 'do not wait; see it later with `longtail logs RUN --follow`'],
  ]);
  bind(command, outcome, launch);
}

async function launch(output: Output, options: LaunchOptions, file: string): Promise<number> {
  const document = await readJobFile(file);
  const { signal } = new AbortController();
  const client = await connectClient(options.server, signal);
  try {
    if (options.detach) return await launchOnly(client, document, output, signal);
    const interruption = new Interruption(() => output.note('cancelling; the model is saved first (Ctrl-C again to leave at once)'));
    try {
      return await runJob(client, document, output, interruption.signal);
    } finally {
      interruption.restore();
    }
  } finally {
    client.close();
  }
}

async function launchOnly(client: ControlClient, document: JobDocument, output: Output, signal: AbortSignal): Promise<number> {
  const { run, folder } = await client.launch(JSON.stringify(document), signal);
  if (output.json) output.event({ event: 'launched', run, folder });
  else output.line(run);
  return 0;
}
