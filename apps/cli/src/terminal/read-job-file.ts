import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { LongtailError } from '@longtail/core';
import type { JobDocument } from '@longtail/spec';
import { parseJobFile } from '@longtail/spec';

/** A job file, checked, with its paths made absolute. LongtailError `missing-file`, `invalid-file`. */
export async function readJobFile(file: string): Promise<JobDocument> {
  const text = await readTextFile(file, 'job file', 'Jobs to start from are in examples/.');
  const folder = dirname(resolve(file));
  return parseJobFile(text, file, (path) => resolve(folder, path));
}

/** `what` is its kind in the message, `hint` where there are others. LongtailError `missing-file`. */
export async function readTextFile(file: string, what: string, hint: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'does not exist' : code === 'EISDIR' ? 'is a folder' : `cannot be read: ${message}`;
    throw new LongtailError(`The ${what} ${file} ${reason}.`, { code: 'missing-file', where: resolve(file), hint, cause: error });
  }
}
