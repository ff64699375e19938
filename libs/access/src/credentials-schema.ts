import { ROLES } from '@longtail/core';
import { z } from 'zod';

export const CREDENTIALS = z.object({
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
