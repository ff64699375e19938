import type { ControlClient } from '@longtail/transport';
import type { JobFile } from './read-job-file.js';

/** Launches a job; resolves when the server has taken it. */
export async function launchJob(
  client: ControlClient,
  { document, located }: JobFile,
  signal: AbortSignal,
): ReturnType<ControlClient['launch']> {
  try {
    return await client.launch(JSON.stringify(document), signal);
  } catch (error) {
    throw located(error);
  }
}
