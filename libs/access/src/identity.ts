import { isAway, LongtailError } from '@longtail/core';
import { readCredentials, type Credentials } from './credentials.js';
import { requestCertificate } from './enrolment.js';
import { writeKept, type Keep } from './kept.js';

/** A certificate as a server gives it. */
export interface IssuedCertificate {
  readonly identity: string;
  readonly role: string;
  /** PEM. */
  readonly certificate: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

/** A new identity, by a token; `enrol` shows it to the server. It takes the place of one that was kept. */
export async function enrolIdentity(
  keep: Keep,
  token: string,
  enrol: (request: string) => Promise<{ readonly authority: string; readonly reply: IssuedCertificate }>,
): Promise<Credentials> {
  const { request, privateKey } = await requestCertificate();
  const { authority, reply } = await enrol(request);
  return keepCertificate(keep, { token, authority, privateKey }, reply);
}

/**
 * The identity that is kept, its certificate renewed in the second half of its life, if the server can be reached. Undefined: there is none.
 * LongtailError `refused` when it is over.
 */
export async function currentIdentity(
  keep: Keep,
  renew: (kept: Credentials, request: string) => Promise<IssuedCertificate>,
  nowMs: number,
): Promise<Credentials | undefined> {
  const kept = await readCredentials(keep);
  if (kept === undefined || nowMs < (kept.issuedAtMs + kept.expiresAtMs) / 2) return kept;
  if (kept.expiresAtMs <= nowMs) {
    throw new LongtailError(`the certificate of ${kept.id} expired at ${new Date(kept.expiresAtMs).toISOString()}`, {
      code: 'refused',
      where: keep.path,
      hint: 'On the server: longtail token create; then add --token with what it prints.',
    });
  }
  const { request, privateKey } = await requestCertificate();
  try {
    return await keepCertificate(keep, { ...kept, privateKey }, await renew(kept, request));
  } catch (error) {
    if (isAway(LongtailError.from(error))) return kept;
    throw error;
  }
}

/** Puts a certificate with its key where `currentIdentity` finds it. */
export async function keepCertificate(
  keep: Keep,
  { token, authority, privateKey }: Pick<Credentials, 'token' | 'authority' | 'privateKey'>,
  { identity, role, certificate, issuedAtMs, expiresAtMs }: IssuedCertificate,
): Promise<Credentials> {
  const credentials = { id: identity, role: role as Credentials['role'], token, authority, certificate, privateKey, issuedAtMs, expiresAtMs };
  await writeKept(keep, credentials);
  return credentials;
}
