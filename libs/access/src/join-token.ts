import { createHash } from 'node:crypto';
import { LongtailError, ROLES, type Role } from '@longtail/core';

/** What somebody needs to enrol: a secret of the server's, and what its authority's certificate must be. */
export interface JoinToken {
  /** Names the token without its secret. */
  readonly id: string;
  readonly role: Role;
  /** SHA-256 of the authority's certificate, hexadecimal. */
  readonly authority: string;
  /** 128 bits, hexadecimal. */
  readonly secret: string;
}

const PREFIX = 'longtail-';
const VERSION = 1;
const ID_BYTES = 4;
const SECRET_BYTES = 16;
const DIGEST_BYTES = 32;
const CHECK_BYTES = 4;
const BODY_BYTES = 2 + ID_BYTES + DIGEST_BYTES + SECRET_BYTES;

/** The token as one word to copy. It ends with a check, so that half of it is told from a wrong one. */
export function formatJoinToken({ id, role, authority, secret }: JoinToken): string {
  const body = Buffer.concat([Buffer.of(VERSION, ROLES.indexOf(role)), ...[id, authority, secret].map((hex) => Buffer.from(hex, 'hex'))]);
  return PREFIX + Buffer.concat([body, checkOf(body)]).toString('base64url');
}

/** LongtailError `usage` when it is no token, or not all of one. Never says what was given: it may be a secret. */
export function parseJoinToken(text: string): JoinToken {
  const word = text.trim();
  if (!word.startsWith(PREFIX)) throw broken(`it does not begin with ${PREFIX}`);
  const bytes = Buffer.from(word.slice(PREFIX.length), 'base64url');
  const body = bytes.subarray(0, BODY_BYTES);
  if (bytes.length !== BODY_BYTES + CHECK_BYTES || !checkOf(body).equals(bytes.subarray(BODY_BYTES))) throw broken('it is not whole');
  const role = ROLES[body[1]!];
  if (body[0] !== VERSION || role === undefined) throw broken('another release of Longtail made it');
  const hex = (at: number, length: number): string => body.subarray(at, at + length).toString('hex');
  return { id: hex(2, ID_BYTES), role, authority: hex(2 + ID_BYTES, DIGEST_BYTES), secret: hex(2 + ID_BYTES + DIGEST_BYTES, SECRET_BYTES) };
}

function checkOf(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest().subarray(0, CHECK_BYTES);
}

function broken(why: string): LongtailError {
  return new LongtailError(`the token is not one that \`longtail token create\` prints: ${why}`, {
    code: 'usage',
    hint: 'Copy all of it, in one piece.',
  });
}
