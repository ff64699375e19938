import { chmod, copyFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LongtailError } from '@longtail/core';
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
  if (main === undefined || (!apart && (await hasContent(model.path, main, source)))) return model;
  const copies = join(folder, main.sha256);
  for (const file of files) {
    const copy = join(copies, nameOf(file));
    await mkdir(dirname(copy), { recursive: true });
    await copyFile(paths.get(file.sha256)!, copy);
    if (apart) await chmod(copy, 0o644);
  }
  // Whom a module runs confined as is not whom this process runs as.
  if (apart) await chmod(copies, 0o755);
  return { ...model, path: join(copies, nameOf(main)) };
}

/** A name from elsewhere becomes a path here: it must lead nowhere else. */
function nameOf({ name }: DataFile): string {
  const parts = name.slice(MODEL_ROLE.length).split('/');
  if (parts.every((part) => /^[^\\:\0]+$/.test(part) && part !== '.' && part !== '..')) return join(...parts);
  throw new LongtailError(`a file of the job is called ${JSON.stringify(name)}, which is no name`, { code: 'refused' });
}

async function hasContent(path: string, file: DataFile, source: FileSource): Promise<boolean> {
  try {
    return (await source.digest(path, new AbortController().signal)).sha256 === file.sha256;
  } catch {
    return false;
  }
}
