import { copyFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DataFile, FileSource, Job, ModelSpec } from '@longtail/core';

const MODEL_ROLE = 'model/';

/** The files of a job that its data set is made of; the rest belongs to the model. */
export function dataFilesOf(job: Job): readonly DataFile[] {
  return (job.files ?? []).filter((file) => !file.name.startsWith(MODEL_ROLE));
}

/**
 * The model with its path on this machine: where the job says if the same content lies there (so that a module finds
 * what it imports), else a folder with copies under their own names (a topology names its weights).
 */
export async function localModel(job: Job, paths: ReadonlyMap<string, string>, folder: string, source: FileSource): Promise<ModelSpec> {
  const { model } = job;
  if (model.type !== 'keras' && model.type !== 'module') return model;
  const files = (job.files ?? []).filter((file) => file.name.startsWith(MODEL_ROLE));
  const main = files.find((file) => file.name === MODEL_ROLE + model.path.replace(/^.*[/\\]/, ''));
  if (main === undefined || (await hasContent(model.path, main, source))) return model;
  const copies = join(folder, main.sha256);
  for (const file of files) {
    const copy = join(copies, file.name.slice(MODEL_ROLE.length));
    await mkdir(dirname(copy), { recursive: true });
    await copyFile(paths.get(file.sha256)!, copy);
  }
  return { ...model, path: join(copies, main.name.slice(MODEL_ROLE.length)) };
}

async function hasContent(path: string, file: DataFile, source: FileSource): Promise<boolean> {
  try {
    return (await source.digest(path, new AbortController().signal)).sha256 === file.sha256;
  } catch {
    return false;
  }
}
