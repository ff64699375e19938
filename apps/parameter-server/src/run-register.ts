import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { EventLog, Job, RunEvent, Verdict } from '@longtail/core';
import { LongtailError } from '@longtail/core';
import type { RunStore } from '@longtail/runtime';
import { BESIDE_LOGS, isAlive, readRun, RUN_FILES, type Database, type RunEntry, type RunFolder, type RunOwner, type RunStatus } from '@longtail/store';

export interface RunRegisterOptions {
  readonly table: Database['runs'];
  readonly runsFolder: string;
  readonly owner: RunOwner;
}

/**
 * The table of runs, kept in step with their folders. These are what holds: a row that is missing or behind (the database was
 * away, another server had the run) is made anew from them. LongtailError `storage`, `unreachable` where the database fails.
 */
export class RunRegister {
  /** Those that this server has, as they are. */
  private readonly live = new Map<string, RunEntry>();

  constructor(private readonly options: RunRegisterOptions) {}

  /** A store whose run is in the table from now on. */
  track(store: RunStore, { job, createdAtMs }: Pick<RunFolder, 'job' | 'createdAtMs'>): RunStore {
    const { run, folder } = store;
    const { address: server } = this.options.owner;
    this.update({ ...describe(job), run, folder, server, createdAtMs, status: 'running', reason: '', endedAtMs: undefined, version: 0, samples: 0 });
    const checkpoint: RunStore['checkpoint'] = async (snapshot) => {
      const written = await store.checkpoint(snapshot);
      const before = this.live.get(run);
      if (before !== undefined) this.update({ ...before, version: snapshot.version });
      return written;
    };
    return { ...store, checkpoint, log: this.listen(run, store.log) };
  }

  /** The server does not have the run after all: its folder tells again. */
  leave(run: string): void {
    this.live.delete(run);
  }

  /** Newest first. */
  async list(limit: number, status: RunStatus | undefined): Promise<readonly RunEntry[]> {
    await this.lookAround();
    return this.options.table.list({ limit, status });
  }

  /** LongtailError `usage` where there is none. */
  async find(run: string): Promise<RunEntry> {
    const { table, runsFolder } = this.options;
    const known = (await table.find(run)) ?? (await this.lookAround().then(() => table.find(run)));
    if (known !== undefined) return known;
    throw new LongtailError(`no run ${run}`, { code: 'usage', where: runsFolder, hint: 'List the runs with `longtail runs`.' });
  }

  /** What servers at this address left without a verdict, oldest first; nothing where any free port will do, which several servers have at once. */
  async unfinished(): Promise<readonly RunEntry[]> {
    await this.lookAround();
    const { address } = this.options.owner;
    return address.endsWith(':0') ? [] : (await this.options.table.unfinished()).filter(({ server }) => server === address);
  }

  private listen(run: string, log: EventLog): EventLog {
    return {
      append: (event) => {
        const stored = log.append(event);
        const before = this.live.get(run);
        if (before !== undefined) this.follow(before, event, stored.timeMs);
        return stored;
      },
      read: (fromSeq, signal) => log.read(fromSeq, signal),
      flush: () => log.flush(),
      close: () => log.close(),
    };
  }

  private follow(before: RunEntry, event: RunEvent, timeMs: number): void {
    const { run } = before;
    // Commits are told with the next checkpoint: some runs have a hundred of them a second.
    if (event.event === 'commit') this.live.set(run, { ...before, samples: event.samplesApplied });
    else if (event.event === 'resumed') this.update({ ...before, version: event.version, samples: event.samplesApplied });
    else if (event.event === 'forked') this.update({ ...before, version: event.from.version, samples: event.samplesApplied });
    else if (event.event === 'verdict') {
      this.update({ ...before, ...ended(event), endedAtMs: timeMs });
      this.live.delete(run);
    }
  }

  private update(entry: RunEntry): void {
    this.live.set(entry.run, entry);
    this.options.table.put(entry);
  }

  /** Reads the folders that the table does not know, and those of runs that were not over when it was last told of them. */
  private async lookAround(): Promise<void> {
    const { table } = this.options;
    const root = resolve(this.options.runsFolder);
    const known = await table.folders();
    const names = await readdir(root).catch((): string[] => []);
    const strangers = names.map((name) => join(root, name)).filter((path) => !known.has(path));
    for (const path of strangers) {
      const entry = await fromFolder(path);
      if (entry !== undefined && !this.live.has(entry.run)) table.put(entry);
    }
    for (const before of await table.unfinished()) {
      if (!this.live.has(before.run)) table.put((await fromFolder(before.folder)) ?? { ...before, status: 'interrupted' });
    }
  }
}

/** Undefined where a folder holds no run, or one that cannot be read. */
async function fromFolder(path: string): Promise<RunEntry | undefined> {
  try {
    const { id: run, job, createdAtMs, verdict, endedAtMs, owner } = await readRun(path);
    const version = (await BESIDE_LOGS.of(run, join(path, RUN_FILES.checkpoints), { keep: Infinity }).versions())[0] ?? 0;
    const status: RunStatus = owner !== undefined && isAlive(owner.pid) ? 'running' : 'interrupted';
    const open = { status, reason: '', endedAtMs: undefined, samples: 0 };
    return { ...describe(job), run, folder: path, server: owner?.address ?? '', createdAtMs, version, ...open, ...(verdict === undefined ? {} : { ...ended(verdict), endedAtMs }) };
  } catch (error) {
    if (error instanceof LongtailError) return undefined;
    throw error;
  }
}

function describe({ name, model }: Job): Pick<RunEntry, 'name' | 'model'> {
  return { name, model: model.type };
}

function ended({ status, reason, samples }: Verdict): Pick<RunEntry, 'status' | 'reason' | 'samples'> {
  return { status, reason, samples: samples.applied };
}
