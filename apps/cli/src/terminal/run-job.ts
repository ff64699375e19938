import type { ControlClient } from '@longtail/transport';
import { concludeRun } from './conclude.js';
import { followRun } from './follow.js';
import { launchJob } from './launch-job.js';
import type { Output } from './output.js';
import type { JobFile } from './read-job-file.js';
import { RunServer, watchRun } from './run-events.js';

/** Launches a job, shows it as it goes and says how it ended; resolves with the exit code. */
export async function runJob(client: ControlClient, job: JobFile, output: Output, interruption: AbortSignal): Promise<number> {
  interruption.throwIfAborted();
  return showRun(client, await launchJob(client, job, new AbortController().signal), output, interruption);
}

/** Shows a run to its end, which an interruption brings about: it still ends with a verdict. Resolves with the exit code. */
export async function showRun(
  client: ControlClient,
  { run, folder }: { readonly run: string; readonly folder: string },
  output: Output,
  interruption: AbortSignal,
): Promise<number> {
  const { signal } = new AbortController();
  const server = new RunServer(client);
  const cancel = () => {
    server.client.cancel({ run, reason: 'interrupted' }, signal).catch((error: unknown) => output.fail(error));
  };
  if (interruption.aborted) cancel();
  else interruption.addEventListener('abort', cancel, { once: true });
  return concludeRun(await followRun(watchRun(server, run, output.note, signal), output), folder, output);
}
