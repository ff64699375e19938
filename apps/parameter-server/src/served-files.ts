import { closeSync, openSync, readSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { FileSource, LocalFile } from '@longtail/core';
import { formatBytes, LongtailError, staysWithin } from '@longtail/core';
import type { ServedFile } from '@longtail/runtime';
import type { ModelDraft } from '@longtail/spec';
import { z } from 'zod';

/** Files of a model begin with this role, those of the data with `data/`. */
const MODEL_ROLE = 'model/';
/** Code, not data. */
const MOST_MODULE_BYTES = 4 * 2 ** 20;

/** A local file as workers ask for it: read piece by piece, never whole. */
export function servedFile(file: LocalFile): ServedFile {
  const { name, bytes, sha256, path } = file;
  return { name, bytes, sha256, read: (offset, length) => readPiece(path, offset, length) };
}

function readPiece(path: string, offset: number, length: number): Uint8Array {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    throw new LongtailError('A file of the job is gone.', { code: 'missing-file', where: path, cause: error });
  }
  try {
    const piece = new Uint8Array(length);
    const read = readSync(descriptor, piece, 0, length, offset);
    if (read === length) return piece;
    throw new LongtailError('A file of the job has become shorter.', { code: 'missing-file', where: path, hint: 'Launch the job again.' });
  } finally {
    closeSync(descriptor);
  }
}

/** Files that workers need to build a model: a Keras export's topology and weights, or a module. None for built-in models. */
export async function modelFiles(model: ModelDraft, source: FileSource, signal: AbortSignal): Promise<readonly LocalFile[]> {
  if (model.type !== 'keras' && model.type !== 'module') return [];
  const shards = model.type === 'keras' && model.weights === 'file' ? await weightShards(model.path) : [];
  const files = await Promise.all(
    [basename(model.path), ...shards].map(async (name) => {
      const path = join(dirname(model.path), name);
      return { name: `${MODEL_ROLE}${name}`, path, ...(await source.digest(path, signal)) };
    }),
  );
  if (model.type === 'module' && files[0]!.bytes > MOST_MODULE_BYTES) {
    throw new LongtailError(`The module has ${formatBytes(files[0]!.bytes)}; ${formatBytes(MOST_MODULE_BYTES)} is the most.`, { code: 'invalid-file', where: model.path, hint: 'Keep data out of it.' });
  }
  return files;
}

const MANIFEST = z.object({ weightsManifest: z.array(z.object({ paths: z.array(z.string()) })).default([]) });

/** Names of the weight files beside a `model.json`, as its manifest gives them. */
async function weightShards(path: string): Promise<readonly string[]> {
  try {
    const { weightsManifest } = MANIFEST.parse(JSON.parse(await readFile(path, 'utf8')));
    const shards = weightsManifest.flatMap((group) => group.paths);
    const stray = shards.find((shard) => !staysWithin(shard));
    if (stray === undefined) return shards;
    throw new Error(`its weights are at ${JSON.stringify(stray)}, which is not beside it`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new LongtailError('The Keras model does not exist.', {
        code: 'missing-file',
        where: path,
        hint: 'Paths in a job file are relative to it.',
      });
    }
    const reason = error instanceof z.ZodError ? 'its weightsManifest is none' : (error as Error).message;
    throw new LongtailError(`The Keras model cannot be read: ${reason}`, {
      code: 'invalid-file',
      where: path,
      cause: error,
    });
  }
}
