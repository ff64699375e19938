import { hostname } from 'node:os';
import { join } from 'node:path';
import { currentIdentity, enrolIdentity, parseJoinToken, readCredentials, type Credentials, type Keep } from '@longtail/access';
import { LongtailError } from '@longtail/core';
import { secretFile, userState } from '@longtail/store';
import { connectClient, enrol, formatAddress, parseAddress, renew, type ControlClient } from '@longtail/transport';

/** What a command is on a server: a machine that computes, or somebody who asks. Each has an identity of its own. */
type Part = 'node' | 'client';

/** The folder of what this user is on a server. */
export function identityFolder(address: string): string {
  return join(userState(), 'identities', formatAddress(parseAddress(address)).replace(/[^\w.-]/g, '_'));
}

export function keptIdentity(address: string, part: Part): Keep {
  return secretFile(join(identityFolder(address), `${part}.json`));
}

/** A client of a server, with the identity that is kept for it or that the token gives. Throws as connectClient, and LongtailError `usage`. */
export async function connect({ server, token }: ServerChoice, signal: AbortSignal): Promise<ControlClient> {
  return connectClient(server, signal, await identityOn(server, 'client', token, signal));
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

/** Where the identity is kept that this machine computes under; undefined: on that server everybody may. */
export async function nodeIdentity(address: string, token: string | undefined, name: string, signal: AbortSignal): Promise<{ readonly path: string; readonly credentials: Credentials } | undefined> {
  if (token !== undefined && parseJoinToken(token).role !== 'node') {
    throw new LongtailError(`the token is for the role ${parseJoinToken(token).role}`, { code: 'usage', hint: 'On the server: longtail token create --role node.' });
  }
  const credentials = await identityOn(address, 'node', token, signal, name);
  if (credentials !== undefined) return { path: keptIdentity(address, 'node').path, credentials };
  // Whoever runs the server may compute for it.
  const own = await readCredentials(keptIdentity(address, 'client'));
  return own?.role === 'admin' ? { path: keptIdentity(address, 'client').path, credentials: own } : undefined;
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
