import type { X509Certificate } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AccessBook,
  Authority,
  createAuthority,
  formatJoinToken,
  keepCertificate,
  readCredentials,
  readKept,
  requestCertificate,
  writeKept,
  type Keep,
  type KeyedCertificate,
} from '@longtail/access';
import { LongtailError, ROLES, type AccessEntries, type AccessTable, type PeerIdentity, type Role } from '@longtail/core';
import type { FollowedAccess } from '@longtail/runtime';
import { secretFile } from '@longtail/store';
import type { CertificateReply } from '@longtail/protocol';
import type { ClientCredentials, ServerAccess } from '@longtail/transport';
import { z } from 'zod';

const AUTHORITY_FILE = 'authority.json';

const DAY_MS = 24 * 3_600_000;
const CERTIFICATE_MS = 90 * DAY_MS;
const LONGEST_TOKEN_MS = 365 * DAY_MS;
const MOST_USES = 10_000;
const LONGEST_NAME = 256;
/** Of what a server asks its standby with. */
const QUESTION_MS = 3_600_000;

const BOOK_FILE = 'access.json';
const ENTRY = { id: z.string(), role: z.enum(ROLES), expiresAtMs: z.number(), revoked: z.boolean() };
const BOOK = z.object({
  tokens: z.array(z.object({ ...ENTRY, secret: z.string(), createdAtMs: z.number(), usesLeft: z.number() })),
  identities: z.array(z.object({ ...ENTRY, name: z.string(), token: z.string(), enrolledAtMs: z.number() })),
});

const KEYED = z.object({ certificate: z.string(), privateKey: z.string() });

export interface Access extends ServerAccess {
  readonly book: FollowedAccess;
  /** What it asks its standby with, which knows who that is; undefined: it never let one in. */
  asStandby(): Promise<ClientCredentials | undefined>;
  /** Makes whoever runs the server its admin: keeps an identity there, unless a good one is kept. */
  enrolOwner(keep: Keep): Promise<void>;
}

/** What a server goes on with that was the standby of another one. */
export interface InheritedAccess {
  readonly authority: KeyedCertificate;
  readonly entries: AccessEntries;
}

/**
 * Whom a server lets in: the authority, made at the first start and kept in a folder that its owner alone may read, and the book of
 * tokens and identities in a table. LongtailError `storage`, `unreachable`.
 */
export async function openAccess(folder: string, table: AccessTable, nowMs: () => number, inherited?: InheritedAccess): Promise<Access> {
  if (inherited !== undefined) {
    await writeKept(authorityFile(folder), inherited.authority);
    await table.replace(inherited.entries);
  } else await importBook(folder, table);
  const { authority, keyed } = await openAuthority(authorityFile(folder), nowMs());
  const book = await AccessBook.open(table);
  const own = await authority.issueServer(nowMs());

  const issue = async (peer: PeerIdentity, request: string, issuedAtMs: number): Promise<CertificateReply> => {
    const expiresAtMs = issuedAtMs + CERTIFICATE_MS;
    const certificate = await authority.issue(request, peer, issuedAtMs, expiresAtMs);
    return { identity: peer.id, role: peer.role, certificate, issuedAtMs, expiresAtMs };
  };
  return {
    certificate: own.certificate,
    privateKey: own.privateKey,
    authority: authority.certificate,
    book,
    identify: (certificate) => identify(certificate, authority, book, nowMs()),
    async enrol({ token, secret, request, name }) {
      const now = nowMs();
      return book.redeem(token, secret, name.slice(0, LONGEST_NAME), now, now + CERTIFICATE_MS, (peer) => issue(peer, request, now));
    },
    async renew({ request }, peer) {
      const reply = await issue(peer, request, nowMs());
      await book.renewed(peer.id, reply.expiresAtMs);
      return reply;
    },
    async createToken({ role, validMs, uses }) {
      const expiresAtMs = nowMs() + between('validMs', validMs, 1, LONGEST_TOKEN_MS);
      const { id, secret } = await book.createToken(roleOf(role), between('uses', uses, 1, MOST_USES), nowMs(), expiresAtMs);
      return { id, expiresAtMs, token: formatJoinToken({ id, secret, role: roleOf(role), authority: authority.fingerprint }) };
    },
    async listAccess() {
      const { tokens, identities } = book.list();
      return { tokens: tokens.map(({ secret: _secret, ...token }) => token), identities };
    },
    async revoke({ token, identity, enrolled }) {
      return { identities: await (token === '' ? book.revokeIdentity(identity) : book.revokeToken(token, enrolled)), unaware: '' };
    },
    handOver: async () => keyed,
    async asStandby() {
      const standby = book.list().identities.find(({ role, revoked }) => role === 'standby' && !revoked);
      if (standby === undefined) return undefined;
      const { request, privateKey } = await requestCertificate();
      return { authority: authority.certificate, certificate: await authority.issue(request, standby, nowMs(), nowMs() + QUESTION_MS), privateKey };
    },
    async enrolOwner(keep) {
      const kept = await readCredentials(keep);
      const now = nowMs();
      if (kept?.authority === authority.certificate && kept.expiresAtMs > now + CERTIFICATE_MS / 2 && book.admits(kept)) return;
      const { request, privateKey } = await requestCertificate();
      const peer = await book.enrol('admin', 'the owner of the server', now, now + CERTIFICATE_MS);
      await keepCertificate(keep, { token: '', authority: authority.certificate, privateKey }, await issue(peer, request, now));
    },
  };
}

/** The book was a file before there was a database: it is taken over once, where there is no other. */
async function importBook(folder: string, table: AccessTable): Promise<void> {
  const keep = secretFile(join(folder, BOOK_FILE));
  const kept = await readKept(keep, () => BOOK);
  if (kept === undefined) return;
  const { tokens, identities } = await table.load();
  if (tokens.length + identities.length > 0) return;
  await table.save(kept);
  await rename(keep.path, `${keep.path}.imported`);
}

/** Throws LongtailError `usage` where a folder is that of another server. */
export async function checkAuthority(folder: string, { certificate }: KeyedCertificate): Promise<void> {
  const keep = authorityFile(folder);
  const kept = await readKept(keep, () => KEYED);
  if (kept === undefined || kept.certificate === certificate) return;
  throw new LongtailError('there is the authority of another server', { code: 'usage', where: keep.path, hint: 'Give the standby a folder of its own: --state FOLDER.' });
}

function authorityFile(folder: string): Keep {
  return secretFile(join(folder, AUTHORITY_FILE));
}

async function openAuthority(keep: Keep, nowMs: number): Promise<{ readonly authority: Authority; readonly keyed: KeyedCertificate }> {
  const kept = await readKept(keep, () => KEYED);
  const keyed = kept ?? (await createAuthority(nowMs));
  if (kept === undefined) await writeKept(keep, keyed);
  return { authority: await Authority.open(keyed), keyed };
}

/** Throws LongtailError `refused` when the certificate is not good, or whoever has it not let in, or not any more. */
export function identify(certificate: X509Certificate, authority: Authority, book: Pick<AccessBook, 'admit'>, nowMs: number): PeerIdentity {
  const identity = authority.identify(certificate, nowMs);
  if (identity === undefined) {
    throw new LongtailError('the certificate is over, or of another server', {
      code: 'refused',
      hint: 'On the server: longtail token create; then add --token - and paste what it prints.',
    });
  }
  book.admit(identity);
  return identity;
}

function roleOf(text: string): Role {
  const role = ROLES.find((name) => name === text);
  if (role !== undefined) return role;
  throw new LongtailError(`there is no role ${JSON.stringify(text)}`, { code: 'usage', hint: `The roles are ${ROLES.join(', ')}.` });
}

function between(what: string, value: number, least: number, most: number): number {
  if (value >= least && value <= most) return value;
  throw new LongtailError(`${what} is ${value}, not from ${least} to ${most}`, { code: 'usage' });
}
