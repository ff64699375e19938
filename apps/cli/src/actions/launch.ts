import type { Overrides } from '@longtail/spec';
import type { ControlClient } from '@longtail/transport';
import { connect, type ServerChoice } from '../process/identity.js';
import { Interruption } from '../process/interruption.js';
import { launchJob } from '../terminal/launch-job.js';
import type { Output } from '../terminal/output.js';
import type { JobFile } from '../terminal/read-job-file.js';
import { readJobFile, recorded, type RecordOption } from '../terminal/read-job-file.js';
import { runJob } from '../terminal/run-job.js';

interface LaunchOptions extends ServerChoice {
  readonly detach?: boolean;
  readonly set: Overrides;
  readonly record?: RecordOption;
}

export async function launch(output: Output, options: LaunchOptions, file: string): Promise<number> {
  const job = recorded(await readJobFile(file, options.set), options.record);
  const { signal } = new AbortController();
  const client = await connect(options, signal);
  try {
    if (options.detach) return await launchOnly(client, job, output, signal);
    const interruption = new Interruption(() => output.note('cancelling; the model is saved first (Ctrl-C again to leave at once)'));
    try {
      return await runJob(client, job, output, interruption.signal);
    } finally {
      interruption.restore();
    }
  } finally {
    client.close();
  }
}

async function launchOnly(client: ControlClient, job: JobFile, output: Output, signal: AbortSignal): Promise<number> {
  const { run, folder } = await launchJob(client, job, signal);
  if (output.json) output.event({ event: 'launched', run, folder });
  else output.line(run);
  return 0;
}
