import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LongtailError, staysWithin } from '@longtail/core';
import type { DataFile, FileSource, Job, ModelSpec } from '@longtail/core';

const MODEL_ROLE = 'model/';

/** The files of a job that its data set is made of; the rest belongs to the model. */
export function dataFilesOf(job: Job): readonly DataFile[] {
  return (job.files ?? []).filter((file) => !file.name.startsWith(MODEL_ROLE));
}

/**
 * The model with its path on this machine: where the job says if the same content lies there (so that a module finds
 * what it imports), else, or if `apart`, a folder with copies under their own names (a topology names its weights).
 */
export async function localModel(job: Job, paths: ReadonlyMap<string, string>, folder: string, source: FileSource, apart = false): Promise<ModelSpec> {
  const { model } = job;
  if (model.type !== 'keras' && model.type !== 'module') return model;
  const files = (job.files ?? []).filter((file) => file.name.startsWith(MODEL_ROLE));
  const main = files.find((file) => file.name === MODEL_ROLE + model.path.replace(/^.*[/\\]/, ''));
  if (main === undefined) throw new LongtailError('the job names a model without its file', { code: 'refused', where: model.path });
  if (!apart && (await lieBeside(model.path, files, source))) return model;
  const copies = join(folder, keyOf(files));
  if (!existsSync(copies)) await copyTo(copies, files, paths);
  return { ...model, path: join(copies, nameOf(main)) };
}

/** A topology may be the same with other weights, and a module with other imports. */
function keyOf(files: readonly DataFile[]): string {
  const named = files.map(({ name, sha256 }) => [name, sha256]).sort(([a], [b]) => (a! < b! ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(named)).digest('hex');
}

/** Whole or not at all: workers of one machine share the folder, and may come at the same time. */
async function copyTo(folder: string, files: readonly DataFile[], paths: ReadonlyMap<string, string>): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const aside = await mkdtemp(`${folder}.`);
  try {
    for (const file of files) {
      const copy = join(aside, nameOf(file));
      await mkdir(dirname(copy), { recursive: true });
      await copyFile(paths.get(file.sha256)!, copy);
      await chmod(copy, 0o644);
    }
    // Whom a module runs confined as is not whom this process runs as.
    await chmod(aside, 0o755);
    await rename(aside, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error; // else another worker has been there first
    });
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

/** A name from elsewhere becomes a path here: it must lead nowhere else. */
function nameOf({ name }: DataFile): string {
  const path = name.slice(MODEL_ROLE.length);
  if (staysWithin(path)) return join(path);
  throw new LongtailError(`a file of the job is called ${JSON.stringify(name)}, which is no name`, { code: 'refused' });
}

/** Whether the main file is at `path`, and the others where they belong beside it. */
async function lieBeside(path: string, files: readonly DataFile[], source: FileSource): Promise<boolean> {
  for (const file of files) if (!(await hasContent(join(dirname(path), nameOf(file)), file, source))) return false;
  return true;
}

async function hasContent(path: string, file: DataFile, source: FileSource): Promise<boolean> {
  try {
    return (await source.digest(path, new AbortController().signal)).sha256 === file.sha256;
  } catch {
    return false;
  }
}
