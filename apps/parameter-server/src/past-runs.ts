import { join } from 'node:path';
import { LongtailError, type StoredEvent } from '@longtail/core';
import type { LaunchedRun, Resumption, RunSnapshot, ServedFile, Server } from '@longtail/runtime';
import { isAlive, openRun, readEvents, readRun, RUN_FILES, type CheckpointStore, type RunFolder, type RunOwner } from '@longtail/store';
import { wallClock } from '@longtail/transport';
import { withOverrides, type Overrides } from '@longtail/spec';
import type { Logger } from 'pino';
import type { JobDesk } from './job-desk.js';
import type { RunRegister } from './run-register.js';
import { lastSnapshot, runStore, snapshotAt, type JobNotes } from './run-store.js';

export interface PastRunsOptions {
  readonly server: Server;
  readonly desk: JobDesk;
  readonly register: RunRegister;
  readonly checkpoints: CheckpointStore;
  readonly owner: RunOwner;
  readonly log: Logger;
}

/** A run that this server followed as a standby. */
export interface Inherited {
  readonly path: string;
  readonly snapshot: RunSnapshot | undefined;
  readonly files: readonly ServedFile[];
  readonly notes: JobNotes;
}

/** Runs as their folders tell them: those that this server does not have may go on, and any may be forked. */
export class PastRuns {
  /** Being opened. */
  private readonly opening = new Set<string>();

  constructor(private readonly options: PastRunsOptions) {}

  /**
   * Goes on with the runs that an earlier server at this address left without a verdict, oldest first. What
   * cannot go on (its data are gone, say) is told to the log and stays as it is.
   */
  async resumeUnfinished(): Promise<void> {
    const { register, log } = this.options;
    for (const { run, folder, name } of await register.unfinished()) {
      try {
        await this.goOn(run, folder, 'its server was killed');
      } catch (error) {
        const { message, hint, where } = LongtailError.from(error);
        log.error({ run, job: name, where, hint }, `cannot be resumed: ${message}`);
      }
    }
  }

  /**
   * Goes on with a run that has failed or was cancelled, or whose server is gone. Throws LongtailError `usage` for one that
   * succeeded, still goes on or is not there, `checksum`, `storage`, and what is wrong with its data.
   */
  async resume(run: string): Promise<LaunchedRun & { readonly version: number }> {
    const { id, path, verdict, owner } = await this.find(run);
    if (verdict?.status === 'succeeded') {
      throw new LongtailError(`run ${id} has succeeded: nothing is left to do`, { code: 'usage', hint: `Learn on with \`longtail fork ${id} --set train.epochs=N\`.` });
    }
    if (verdict === undefined && owner !== undefined && owner.pid !== this.options.owner.pid && isAlive(owner.pid)) {
      throw new LongtailError(`process ${owner.pid}, the server at ${owner.address}, has run ${id}`, {
        code: 'usage',
        where: path,
        hint: 'Wait for its end, or stop that server. If it is no server, remove server.json from the folder of the run.',
      });
    }
    return this.goOn(id, path, verdict === undefined ? 'its server is gone' : `asked for after it ${ended(verdict.status)}: ${verdict.reason}`);
  }

  /** A run that begins with a version of another one, `version` 0: its newest. LongtailError `usage`, `missing-file`, `invalid-file`. */
  async fork(run: string, version: number, overrides: Overrides): Promise<LaunchedRun & { readonly version: number }> {
    const { server, desk, checkpoints } = this.options;
    const { path, document, job: before } = await this.find(run);
    const folder = { path, checkpoints: checkpoints.of(run, join(path, RUN_FILES.checkpoints), { keep: Infinity }) };
    const snapshot = version === 0 ? await lastSnapshot(folder, () => undefined) : await snapshotAt(folder, version);
    if (snapshot === undefined) throw new LongtailError(`Run ${run} has no checkpoint yet.`, { code: 'missing-file', where: path });
    const { job, files } = await desk.study(withOverrides(document, overrides));
    const fields = { model: [job.model, before.model], data: [job.data, before.data], 'train.seed': [job.train.seed, before.train.seed] };
    const other = Object.entries(fields).find(([, [now, then]]) => JSON.stringify(now) !== JSON.stringify(then));
    if (other !== undefined) {
      throw new LongtailError(`a fork keeps the model, the data and the order of the samples, and ${other[0]} is another one`, { code: 'usage', where: other[0] });
    }
    return { ...(await server.launch(job, files, snapshot)), version: snapshot.version };
  }

  /** What the folder of a run tells. LongtailError `usage` where there is none. */
  async events(run: string): Promise<readonly StoredEvent[]> {
    return readEvents(join((await this.find(run)).path, RUN_FILES.events));
  }

  /** Goes on with what this server followed as the standby of another one. What cannot go on is told to the log and stays as it is. */
  async inherit(inherited: readonly Inherited[], succession: NonNullable<Resumption['succession']>, reason: string): Promise<void> {
    const { desk, checkpoints, owner, log } = this.options;
    for (const { path, snapshot, files, notes } of inherited) {
      try {
        const folder = await openRun(path, { now: wallClock.nowMs, owner, checkpoints });
        const { id, job, document } = folder;
        desk.adopt(job, notes, document);
        await this.resumeIn(folder, notes, { job, files, reason, succession }, async () => snapshot);
        log.warn({ run: id, job: job.name, version: snapshot?.version ?? 0 }, 'taken over');
      } catch (error) {
        log.error({ where: path }, `cannot be taken over: ${LongtailError.from(error).message}`);
      }
    }
  }

  private async goOn(id: string, path: string, reason: string): Promise<LaunchedRun & { readonly version: number }> {
    const { server, desk, checkpoints, owner, log } = this.options;
    if (this.opening.has(id) || server.jobs().some(({ run, status }) => run === id && (status === 'waiting' || status === 'running'))) {
      throw new LongtailError(`run ${id} goes on already`, { code: 'usage', hint: `Watch it with \`longtail logs ${id} --follow\`.` });
    }
    this.opening.add(id);
    try {
      const { job, document } = await readRun(path);
      const { files } = await desk.studyAgain(job, document);
      const folder = await openRun(path, { now: wallClock.nowMs, owner, checkpoints });
      const resumed = await this.resumeIn(folder, desk.notesOf(job), { job, files, reason }, async () => {
        const snapshot = await lastSnapshot(folder, ({ message, where }) => log.warn({ run: id, where }, message));
        if (snapshot === undefined) checkNoneWritten(folder.past, checkpoints);
        return snapshot;
      });
      log.info({ run: id, job: job.name, version: resumed.version }, 'resumed');
      return resumed;
    } finally {
      this.opening.delete(id);
    }
  }

  /** In an open folder; closed, and the run in the table as it was, when the server does not go on with it. */
  private async resumeIn(
    folder: RunFolder,
    notes: JobNotes,
    resumption: Omit<Resumption, 'store' | 'snapshot' | 'past'>,
    lastOf: () => Promise<RunSnapshot | undefined>,
  ): Promise<LaunchedRun & { readonly version: number }> {
    const { server, register } = this.options;
    try {
      const snapshot = await lastOf();
      const store = register.track(runStore(folder, notes), folder);
      const resumed = server.resume({ ...resumption, store, snapshot, past: folder.past });
      return { ...resumed, version: snapshot?.version ?? 0 };
    } catch (error) {
      register.leave(folder.id);
      await folder.close();
      throw error;
    }
  }

  private async find(run: string): ReturnType<typeof readRun> {
    return readRun((await this.options.register.find(run)).folder);
  }
}

/** A run that once had checkpoints does not begin anew because nobody looked where they are. */
function checkNoneWritten(past: readonly StoredEvent[], { name }: CheckpointStore): void {
  const last = past.flatMap(({ body }) => (body.event === 'checkpoint' ? [body.path] : [])).at(-1);
  if (last === undefined) return;
  throw new LongtailError(`The run has checkpoints, and none of them is in ${name}.`, {
    code: 'missing-file',
    where: last,
    hint: 'Start the server with the --checkpoints that it had, or put them back.',
  });
}

function ended(status: 'failed' | 'cancelled'): string {
  return status === 'failed' ? 'failed' : 'was cancelled';
}
