import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { LongtailError } from '@longtail/core';
import type { JobDocument, Overrides } from '@longtail/spec';
import { parseJobFile, placeOfField } from '@longtail/spec';

export interface JobFile {
  /** Checked, its paths made absolute. */
  readonly document: JobDocument;
  /** What the server found wrong with a field, once the data were open: the same error at the field's place in the file. */
  located(error: unknown): unknown;
}

/** `overrides` stand in the place of what it says. LongtailError `missing-file`, `invalid-file`. */
export async function readJobFile(file: string, overrides: Overrides = {}): Promise<JobFile> {
  const text = await readTextFile(file, 'job file', 'Jobs to start from are in examples/.');
  const folder = dirname(resolve(file));
  return {
    document: parseJobFile(text, file, (path) => resolve(folder, path), overrides),
    located: (error) => {
      if (!(error instanceof LongtailError) || error.code !== 'invalid-file' || error.where === undefined) return error;
      const field = error.where;
      const isSet = Object.keys(overrides).some((set) => field === set || field.startsWith(`${set}.`));
      const where = isSet ? `--set ${field}` : (placeOfField(text, file, field) ?? field);
      return new LongtailError(error.message, { code: error.code, hint: error.hint, where, cause: error });
    },
  };
}

/** `--record`, or the bytes that it may take. */
export type RecordOption = true | number;

/** The job as it is to be recorded; undefined: as it says itself. */
export function recorded(job: JobFile, record: RecordOption | undefined): JobFile {
  if (record === undefined) return job;
  const { document } = job;
  return { ...job, document: { ...document, record: { ...document.record, ...(record !== true && { maxBytes: record }) } } };
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
