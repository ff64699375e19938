import { LongtailError } from '@longtail/core';
import type { LaunchedRun, Server } from '@longtail/runtime';
import { listRuns, openRun, type RunOwner } from '@longtail/store';
import type { Logger } from 'pino';
import type { JobDesk } from './job-desk.js';
import { lastSnapshot, runStore } from './run-store.js';

export interface RunsContext {
  readonly server: Server;
  readonly desk: JobDesk;
  readonly runsFolder: string;
  readonly owner: RunOwner;
  readonly log: Logger;
}

/**
 * Goes on with the runs that an earlier server with this address and folder left without a verdict, oldest first. What
 * cannot go on (its data are gone, say) is told to the log and stays as it is.
 */
export async function resumeUnfinished(context: RunsContext): Promise<void> {
  const { runsFolder, owner, log } = context;
  const left = (await listRuns(runsFolder)).filter((run) => run.verdict === undefined && run.owner?.address === owner.address);
  for (const { id, path, name } of left.reverse()) {
    try {
      await resumeRun(context, path, 'its server was killed');
    } catch (error) {
      const { message, hint, where } = LongtailError.from(error);
      log.error({ run: id, job: name, where, hint }, `cannot be resumed: ${message}`);
    }
  }
}

/** Goes on with the run in a folder. Throws what is wrong with its data, LongtailError `checksum`, `storage`. */
export async function resumeRun({ server, desk, owner, log }: RunsContext, path: string, reason: string): Promise<LaunchedRun & { readonly version: number }> {
  const folder = await openRun(path, { now: Date.now, owner });
  try {
    const { files } = await desk.studyAgain(folder.job, folder.document);
    const store = runStore(folder, desk.notesOf(folder.job).model);
    const snapshot = await lastSnapshot(folder, ({ message, where }) => log.warn({ run: folder.id, where }, message));
    const resumed = server.resume({ store, job: folder.job, files, snapshot, past: folder.past, reason });
    const version = snapshot?.version ?? 0;
    log.info({ run: folder.id, job: folder.job.name, version }, 'resumed');
    void server.verdict(folder.id).then(({ run, status, reason: why }) => log.info({ run, status, reason: why }, 'ended'));
    return { ...resumed, version };
  } catch (error) {
    await folder.close();
    throw error;
  }
}
