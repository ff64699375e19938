import { randomUUID } from 'node:crypto';
import { BackOff, createRng, isAway, LongtailError } from '@longtail/core';
import { wallClock, type ControlClient } from '@longtail/transport/clients';
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
  const over = new AbortController();
  const { signal } = over;
  const server = new RunServer(client);
  const cancel = () => {
    cancelRun(server, run, signal).catch((error: unknown) => signal.aborted || output.fail(error));
  };
  if (interruption.aborted) cancel();
  else interruption.addEventListener('abort', cancel, { once: true, signal });
  try {
    return await concludeRun(await followRun(watchRun(server, run, output.note, signal), output), folder, output);
  } finally {
    over.abort();
  }
}

/** Of a server that is away it is asked again: a run whose end somebody wants must not go on when that is back. */
async function cancelRun(server: RunServer, run: string, signal: AbortSignal): Promise<void> {
  for (const backOff = new BackOff(createRng(randomUUID())); ; await wallClock.sleep(backOff.nextMs(), signal)) {
    try {
      await server.client.cancel({ run, reason: 'interrupted' }, signal);
      return;
    } catch (error) {
      if (!isAway(LongtailError.from(error))) throw error;
    }
  }
}
