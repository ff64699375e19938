import type { JobDocument } from '@longtail/spec';
import type { ControlClient } from '@longtail/transport';
import { connectClient } from '@longtail/transport';
import { Interruption } from '../process/interruption.js';
import type { Output } from '../terminal/output.js';
import { readJobFile } from '../terminal/read-job-file.js';
import { runJob } from '../terminal/run-job.js';

interface LaunchOptions {
  readonly server: string;
  readonly detach?: boolean;
}

export async function launch(output: Output, options: LaunchOptions, file: string): Promise<number> {
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
