import { stat } from 'node:fs/promises';
import type { Job } from '@longtail/core';
import type { RunSnapshot, RunStore } from '@longtail/runtime';
import { createRun, type ModelSidecar, type RunFolder } from '@longtail/store';

/** What the data say about a model that is trained on them; goes beside it. */
export type ModelNotes = Omit<ModelSidecar, 'metrics'>;

/** A run's folder as the runtime sees it. LongtailError `storage`. */
export async function openRunStore(runsFolder: string, job: Job, notes: ModelNotes): Promise<RunStore> {
  const folder = await createRun(runsFolder, job, { now: () => Date.now() });
  return {
    run: folder.id,
    folder: folder.path,
    log: folder.events,
    checkpoint: (snapshot) => writeCheckpoint(folder, snapshot),
    async saveModel({ parameters, layout, metrics }) {
      const path = await folder.writeModel(parameters, layout, { ...notes, metrics });
      return { path, bytes: (await stat(path)).size };
    },
    async finish() {
      await folder.close();
      await folder.writeReport();
    },
  };
}

function writeCheckpoint(folder: RunFolder, snapshot: RunSnapshot): Promise<{ readonly path: string; readonly bytes: number }> {
  const { run, job, version, steps, leases: leaseBook, layout, parameters, state } = snapshot;
  // Leases and fresh parameters are functions of the job's seed and the cursor: no generator has a state of its own.
  return folder.checkpoints.write({ run, job, version, steps, leaseBook, rng: {}, layout, parameters, state });
}
