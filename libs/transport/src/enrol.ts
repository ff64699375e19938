import { createHash } from 'node:crypto';
import { connect } from 'node:tls';
import type { Client } from '@grpc/grpc-js';
import { SERVER_NAME } from '@longtail/core';
import { PROTOCOL_VERSION, type CertificateReply, type HandOverReply } from '@longtail/protocol';
import type { ClientCredentials } from './access.js';
import { formatAddress, parseAddress, type Address } from './address.js';
import { call } from './call.js';
import { openChannel } from './channel.js';
import { CONTROL_METHODS } from './control-methods.js';
import { unreachable } from './status.js';
import { explainFailure, foreignServer } from './tls-failure.js';

const HANDSHAKE_MS = 5_000;

export interface Enrolment {
  /** SHA-256 of the authority's certificate, hexadecimal: no other server gets the secret. */
  readonly fingerprint: string;
  readonly token: string;
  readonly secret: string;
  /** PKCS #10, PEM. */
  readonly request: string;
  /** For people. */
  readonly name: string;
}

/** A certificate for a token. Throws LongtailError `refused` with the server's reason, or when it is another server; `unreachable`. */
export async function enrol(
  address: string,
  { fingerprint, ...request }: Enrolment,
  signal: AbortSignal,
): Promise<{ readonly authority: string; readonly reply: CertificateReply }> {
  const target = parseAddress(address);
  const authority = await fetchAuthority(target, fingerprint);
  const message = { protocol: PROTOCOL_VERSION, ...request };
  const reply = await asking(address, { authority }, signal, (client) => call(client, address, CONTROL_METHODS.enrol, 'CertificateReply', message, signal));
  return { authority, reply };
}

/** Another certificate for the same identity. */
export function renew(address: string, credentials: ClientCredentials, request: string, signal: AbortSignal): Promise<CertificateReply> {
  return asking(address, credentials, signal, (client) => call(client, address, CONTROL_METHODS.renew, 'CertificateReply', { request }, signal));
}

/** What makes this end the same authority, as its standby. Throws LongtailError `refused` unless the server lets it be one; `unreachable`. */
export function receiveAuthority(address: string, credentials: ClientCredentials, signal: AbortSignal): Promise<HandOverReply> {
  return asking(address, credentials, signal, (client) => call(client, address, CONTROL_METHODS.handOver, 'HandOverReply', {}, signal));
}

async function asking<Reply>(address: string, credentials: ClientCredentials, signal: AbortSignal, ask: (client: Client) => Promise<Reply>): Promise<Reply> {
  const client = await openChannel(formatAddress(parseAddress(address)), signal, { credentials });
  try {
    return await ask(client);
  } finally {
    client.close();
  }
}

/** The certificate of that fingerprint, PEM, which the server sends along with its own. */
async function fetchAuthority(target: Address, fingerprint: string): Promise<string> {
  const address = formatAddress(target);
  const socket = connect({ ...target, servername: SERVER_NAME, ALPNProtocols: ['h2'], minVersion: 'TLSv1.3', rejectUnauthorized: false, timeout: HANDSHAKE_MS });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('timeout', () => reject(unreachable(address, undefined)));
      socket.on('error', (error) => reject(error));
    });
    for (let certificate = socket.getPeerX509Certificate(); certificate !== undefined; certificate = certificate.issuerCertificate) {
      if (createHash('sha256').update(certificate.raw).digest('hex') === fingerprint) return certificate.toString();
    }
  } catch {
    throw await explainFailure(address, target, 'encrypted');
  } finally {
    socket.destroy();
  }
  throw foreignServer(address);
}
