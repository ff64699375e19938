import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LongtailError } from '@longtail/core';
import { createKernels } from '@longtail/kernels';
import type { RunSnapshot, RunStore } from '@longtail/runtime';
import { recordingFolder, RUN_FILES, type Checkpoint, type ModelSidecar, type RecordingFolder, type RunFolder } from '@longtail/store';

/** What the data say about a model that is trained on them; goes beside it. */
export type ModelNotes = Omit<ModelSidecar, 'metrics'>;

/** A run's folder as the runtime sees it. LongtailError `storage`. */
export function runStore(folder: RunFolder, notes: ModelNotes): RunStore {
  const recording = recordingOf(folder);
  return {
    run: folder.id,
    folder: folder.path,
    log: folder.events,
    recording: recording && {
      begin: (from, bytes) => recording.begin(asCheckpoint(from), bytes),
      rewind: (version) => recording.rewind(version),
      append: (version, chunks) => recording.append(version, chunks),
      flush: () => recording.flush(),
    },
    async checkpoint(snapshot) {
      // What leads to a durable version is durable.
      await folder.events.flush();
      return folder.checkpoints.write(asCheckpoint(snapshot));
    },
    async saveModel({ parameters, layout, metrics }) {
      const path = await folder.writeModel(parameters, layout, { ...notes, metrics });
      return { path, bytes: (await stat(path)).size };
    },
    async finish() {
      await recording?.close();
      await folder.close();
      await folder.writeReport();
    },
  };
}

/** Where the job says so. */
function recordingOf({ job: { record }, path }: RunFolder): RecordingFolder | undefined {
  if (record === undefined) return undefined;
  const kernels = createKernels();
  return recordingFolder(join(path, RUN_FILES.recording), { maxBytes: record.maxBytes, crc32c: (bytes, previous) => kernels.crc32c(bytes, previous) });
}

// Leases and fresh parameters are functions of the job's seed and the cursor: no generator has a state of its own.
function asCheckpoint({ leases: leaseBook, ...rest }: RunSnapshot): Checkpoint {
  return { ...rest, leaseBook, rng: {} };
}

function asSnapshot({ leaseBook: leases, rng: _, ...rest }: Checkpoint): RunSnapshot {
  return { ...rest, leases };
}

/**
 * The last durable version, damaged ones passed over; undefined when there never was one. LongtailError `checksum` when all
 * are damaged.
 */
export async function lastSnapshot({ checkpoints, path }: Pick<RunFolder, 'checkpoints' | 'path'>, onDamaged: (error: LongtailError) => void): Promise<RunSnapshot | undefined> {
  let damage: LongtailError | undefined;
  const latest = await checkpoints.latest((error) => onDamaged((damage = error)));
  if (latest !== undefined) return asSnapshot(latest);
  if (damage === undefined) return undefined;
  throw new LongtailError('No checkpoint of the run is whole.', { code: 'checksum', where: path, hint: 'Launch the job again.', cause: damage });
}

/** A version that is there. LongtailError `missing-file`, `checksum`. */
export async function snapshotAt({ checkpoints, path }: Pick<RunFolder, 'checkpoints' | 'path'>, version: number): Promise<RunSnapshot> {
  const versions = await checkpoints.versions();
  if (versions.includes(version)) return asSnapshot(await checkpoints.read(version));
  const there = versions.length === 0 ? 'none' : versions.join(', ');
  throw new LongtailError(`Version ${version} of the run was not kept; there is ${there}.`, {
    code: 'missing-file',
    where: path,
    hint: 'Checkpoints are made every `checkpoint.every`, and the newest `checkpoint.keep` stay.',
  });
}
