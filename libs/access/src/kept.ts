import { LongtailError } from '@longtail/core';
import type { z } from 'zod';

/** A text that outlives the process, and that others cannot read. */
export interface Keep {
  readonly path: string;
  read(): Promise<string | undefined>;
  write(text: string): Promise<void>;
}

/** What was kept, of the shape it was written in; undefined: nothing was. LongtailError `storage` when it is anything else. */
export async function readKept<T>(keep: Keep, schema: () => Promise<z.ZodType<T>> | z.ZodType<T>): Promise<T | undefined> {
  const text = await keep.read();
  if (text === undefined) return undefined;
  try {
    return (await schema()).parse(JSON.parse(text));
  } catch (cause) {
    throw new LongtailError('the file is damaged', { code: 'storage', where: keep.path, hint: 'Restore it from a backup, or delete it and begin anew.', cause });
  }
}

export function writeKept(keep: Keep, value: object): Promise<void> {
  return keep.write(`${JSON.stringify(value, null, 1)}\n`);
}
