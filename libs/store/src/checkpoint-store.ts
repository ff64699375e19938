import { join, resolve } from 'node:path';
import { LongtailError } from '@longtail/core';
import { checkpointFolder, type CheckpointFolder } from './checkpoints.js';

/** Where runs have their checkpoints. */
export interface CheckpointStore {
  /** For people. */
  readonly name: string;
  /** Those of a run; `folder` is the one beside its log. */
  of(run: string, folder: string, options: { readonly keep: number }): CheckpointFolder;
}

/** Each run's in its own folder. */
export const BESIDE_LOGS: CheckpointStore = { name: 'the folders of runs', of: (_run, folder, options) => checkpointFolder(folder, options) };

/** A folder, or `s3://bucket/prefix?endpoint=…`, which is asked at once. LongtailError `usage`, `unreachable`, `refused`, `missing-file`. */
export async function openCheckpointStore(location: string): Promise<CheckpointStore> {
  // Loaded where it is asked for: it takes a fifth of a second.
  if (location.startsWith('s3://')) return (await import('./s3/s3-checkpoints.js')).openS3Checkpoints(location);
  if (/^[a-z0-9+]+:\/\//.test(location)) {
    throw new LongtailError(`Checkpoints do not go to ${location}.`, { code: 'usage', where: '--checkpoints', hint: 'Name a folder, or s3://BUCKET/PREFIX.' });
  }
  const name = resolve(location);
  return { name, of: (run, _folder, options) => checkpointFolder(join(name, run), options) };
}
