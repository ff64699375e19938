import type { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { AccessBook, Authority, createAuthority, formatJoinToken, keepCertificate, readCredentials, readKept, requestCertificate, writeKept, type Keep } from '@longtail/access';
import type { AccessTable, PeerIdentity, Role } from '@longtail/core';
import { LongtailError, ROLES } from '@longtail/core';
import { secretFile } from '@longtail/store';
import type { CertificateReply } from '@longtail/protocol';
import type { ServerAccess } from '@longtail/transport';
import { z } from 'zod';

const AUTHORITY_FILE = 'authority.json';

const DAY_MS = 24 * 3_600_000;
const CERTIFICATE_MS = 90 * DAY_MS;
const LONGEST_TOKEN_MS = 365 * DAY_MS;
const MOST_USES = 10_000;
const LONGEST_NAME = 256;

const KEYED = z.object({ certificate: z.string(), privateKey: z.string() });

export interface Access extends ServerAccess {
  /** Makes whoever runs the server its admin: keeps an identity there, unless a good one is kept. */
  enrolOwner(keep: Keep): Promise<void>;
}

/**
 * Whom a server lets in: the authority, made at the first start and kept in a folder that its owner alone may read, and the book of
 * tokens and identities in a table. LongtailError `storage`, `unreachable`.
 */
export async function openAccess(folder: string, table: AccessTable, nowMs: () => number): Promise<Access> {
  const authority = await openAuthority(secretFile(join(folder, AUTHORITY_FILE)), nowMs());
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
    identify: (certificate) => identify(certificate, authority, book, nowMs()),
    async enrol({ token, secret, request, name }) {
      const now = nowMs();
      const peer = await book.redeem(token, secret, name.slice(0, LONGEST_NAME), now, now + CERTIFICATE_MS);
      return issue(peer, request, now);
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
      return { identities: await (token === '' ? book.revokeIdentity(identity) : book.revokeToken(token, enrolled)) };
    },
    async enrolOwner(keep) {
      const kept = await readCredentials(keep);
      const now = nowMs();
      if (kept?.authority === authority.certificate && kept.expiresAtMs > now + CERTIFICATE_MS / 2) return;
      const { request, privateKey } = await requestCertificate();
      const peer = await book.enrol('admin', 'the owner of the server', now, now + CERTIFICATE_MS);
      await keepCertificate(keep, { token: '', authority: authority.certificate, privateKey }, await issue(peer, request, now));
    },
  };
}

async function openAuthority(keep: Keep, nowMs: number): Promise<Authority> {
  const kept = await readKept(keep, KEYED);
  if (kept !== undefined) return Authority.open(kept);
  const made = await createAuthority(nowMs);
  await writeKept(keep, made);
  return Authority.open(made);
}

function identify(certificate: X509Certificate, authority: Authority, book: AccessBook, nowMs: number): PeerIdentity {
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
