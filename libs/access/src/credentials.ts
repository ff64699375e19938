import { ROLES } from '@longtail/core';
import { z } from 'zod';
import { readKept, type Keep } from './kept.js';

const SCHEMA = z.object({
  id: z.string(),
  role: z.enum(ROLES),
  /** Of the token it came with; empty: none. */
  token: z.string(),
  /** PEM: of the server's authority, of this identity, and its key. */
  authority: z.string(),
  certificate: z.string(),
  privateKey: z.string(),
  issuedAtMs: z.number(),
  expiresAtMs: z.number(),
});

/** Somebody's identity on a server, with all that proves it. */
export type Credentials = Readonly<z.infer<typeof SCHEMA>>;

/** LongtailError `storage`. */
export function readCredentials(keep: Keep): Promise<Credentials | undefined> {
  return readKept(keep, SCHEMA);
}
