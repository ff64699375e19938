import { hostname } from 'node:os';
import { join } from 'node:path';
import { currentIdentity, enrolIdentity, parseJoinToken, readCredentials, writeKept, type Credentials, type Keep } from '@longtail/access';
import { LongtailError } from '@longtail/core';
import { userState } from '@longtail/core/user-folders';
import { secretFile } from '@longtail/store/node';
import { connectClient, enrol, formatAddress, parseAddress, renew, type ControlClient } from '@longtail/transport/clients';

/** What a command is on a server: a machine that computes, one that takes over, or somebody who asks. Each has an identity of its own. */
type Part = 'node' | 'standby' | 'client';

/** The folder of what this user is on a server. */
export function identityFolder(address: string): string {
  return join(userState(), 'identities', formatAddress(parseAddress(address)).replace(/[^\w.-]/g, '_'));
}

export function keptIdentity(address: string, part: Part): Keep {
  return secretFile(join(identityFolder(address), `${part}.json`));
}

/** A client of a server, with the identity that is kept for it or that the token gives. Throws as connectClient, and LongtailError `usage`. */
export async function connect({ server, token }: ServerChoice, signal: AbortSignal): Promise<ControlClient> {
  const credentials = await identityOn(server, 'client', token, signal);
  const client = await connectClient(server, signal, credentials);
  await rememberAtStandby(client, 'client', credentials);
  return client;
}

/** A server's standby is of the same authority: whoever is known here is known there, should it take over. LongtailError `storage`. */
export async function rememberAtStandby({ server }: ControlClient, part: Part, credentials: Credentials | undefined): Promise<void> {
  if (credentials === undefined || server.standbyAddress === '') return;
  const keep = keptIdentity(server.standbyAddress, part);
  const kept = await readCredentials(keep);
  const isOlder = kept !== undefined && kept.authority === credentials.authority && kept.issuedAtMs < credentials.issuedAtMs;
  if (kept === undefined || isOlder) await writeKept(keep, credentials);
}

/** One question to a server. Throws as `connect`, and what the server answers with. */
export async function ask<Reply>(server: ServerChoice, question: (client: ControlClient, signal: AbortSignal) => Promise<Reply>): Promise<Reply> {
  const { signal } = new AbortController();
  const client = await connect(server, signal);
  try {
    return await question(client, signal);
  } finally {
    client.close();
  }
}

/** What every command that talks to a server is told. */
export interface ServerChoice {
  readonly server: string;
  readonly token?: string;
}

/** An identity, and where it is kept. */
interface PartIdentity {
  readonly part: Part;
  readonly path: string;
  readonly credentials: Credentials;
}

/** What this machine computes under; undefined: on that server everybody may. */
export async function nodeIdentity(address: string, token: string | undefined, name: string, signal: AbortSignal): Promise<PartIdentity | undefined> {
  const own = await partIdentity(address, 'node', token, signal, name);
  if (own !== undefined) return own;
  // Whoever runs the server may compute for it.
  const keep = keptIdentity(address, 'client');
  const credentials = await readCredentials(keep);
  return credentials?.role === 'admin' ? { part: 'client', path: keep.path, credentials } : undefined;
}

/** By a token for that role alone; undefined: it has none. */
export async function partIdentity(address: string, part: 'node' | 'standby', token: string | undefined, signal: AbortSignal, name?: string): Promise<PartIdentity | undefined> {
  const role = token === undefined ? part : parseJoinToken(token).role;
  if (role !== part) throw new LongtailError(`the token is for the role ${role}`, { code: 'usage', hint: `On the server: longtail token create --role ${part}.` });
  const credentials = await identityOn(address, part, token, signal, name);
  return credentials && { part, path: keptIdentity(address, part).path, credentials };
}

async function identityOn(address: string, part: Part, token: string | undefined, signal: AbortSignal, name = hostname()): Promise<Credentials | undefined> {
  const keep = keptIdentity(address, part);
  const given = token === undefined ? undefined : parseJoinToken(token);
  if (given === undefined || given.id === (await readCredentials(keep))?.token) {
    return currentIdentity(keep, (kept, request) => renew(address, kept, request, signal), Date.now());
  }
  const { id, secret, authority: fingerprint } = given;
  return enrolIdentity(keep, id, (request) => enrol(address, { fingerprint, token: id, secret, request, name }, signal));
}
