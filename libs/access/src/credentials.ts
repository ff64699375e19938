import type { z } from 'zod';
import type { CREDENTIALS } from './credentials-schema.js';
import { readKept, type Keep } from './kept.js';

/** Somebody's identity on a server, with all that proves it. */
export type Credentials = Readonly<z.infer<typeof CREDENTIALS>>;

/** LongtailError `storage`. */
export function readCredentials(keep: Keep): Promise<Credentials | undefined> {
  // zod takes a twentieth of a second to load: only whoever has an identity waits for it.
  return readKept(keep, async () => (await import('./credentials-schema.js')).CREDENTIALS);
}
