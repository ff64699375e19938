import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { StoredEvent } from '@longtail/core';
import type { FollowedStore, InheritedRun } from '@longtail/runtime';
import { createRun, listRuns, RUN_FILES, type RunFolder } from '@longtail/store';
import type { Inherited } from './past-runs.js';
import { runStore, type RunDescription } from './run-store.js';
import { servedFile } from './served-files.js';

/** The folders of runs that a standby follows: copies of another server's, which nobody goes on with before it is the server. */
export class FollowedRuns {
  private readonly folders = new Map<string, { readonly folder: RunFolder; readonly description: RunDescription }>();

  constructor(private readonly runsFolder: string) {}

  /** A copy of a run; an older one that is there is replaced, as it may have gone another way, but for what was recorded here. LongtailError `storage`. */
  async open(run: string, description: RunDescription): Promise<FollowedStore> {
    const { createdAtMs, job, document, notes } = description;
    for (const { id, path } of await listRuns(this.runsFolder)) if (id === run) await clear(path);
    let nowMs = createdAtMs;
    const folder = await createRun(this.runsFolder, job, { now: () => nowMs, copyOf: { run, createdAtMs }, document });
    this.folders.set(run, { folder, description });
    const store = runStore(folder, notes);
    let lastSeq = 0;
    return {
      get lastSeq() {
        return lastSeq;
      },
      append({ timeMs, body }: StoredEvent) {
        nowMs = timeMs;
        lastSeq = folder.events.append(body).seq;
      },
      async finish(last) {
        if (last !== undefined) {
          await store.saveModel(last);
          await store.checkpoint(last);
        }
        await folder.close();
        await folder.writeReport();
      },
    };
  }

  /** For the server that goes on with them: their logs are closed. */
  async handOver(runs: readonly InheritedRun[]): Promise<readonly Inherited[]> {
    const inherited: Inherited[] = [];
    for (const { run, snapshot, files, paths } of runs) {
      const { folder, description } = this.folders.get(run)!;
      await folder.close();
      const here = files.flatMap((file) => (paths.has(file.sha256) ? [servedFile({ ...file, path: paths.get(file.sha256)! })] : []));
      inherited.push({ path: folder.path, snapshot, files: here, notes: description.notes });
    }
    return inherited;
  }
}

async function clear(run: string): Promise<void> {
  for (const name of await readdir(run)) if (name !== RUN_FILES.recording) await rm(join(run, name), { recursive: true });
}
