import { connect } from 'node:tls';
import { LongtailError, SERVER_NAME } from '@longtail/core';
import type { Address } from './address.js';
import { unreachable } from './status.js';

const PROBE_MS = 3_000;
const FOREIGN = /SELF_SIGNED|UNABLE_TO_|CERT_|ALTNAME|INVALID_PURPOSE/;

/**
 * Why no channel to a server came up, of which gRPC says only that none did. Tries a handshake by itself: a server that wants a
 * certificate is told from one that is not there, one of another authority from one that does not encrypt.
 */
export async function explainFailure(address: string, { host, port }: Address, expected: 'plain' | 'encrypted', authority?: string): Promise<LongtailError> {
  const outcome = await new Promise<{ readonly connected: boolean; readonly secured: boolean; readonly error?: NodeJS.ErrnoException }>((resolve) => {
    let connected = false;
    const socket = connect({
      host,
      port,
      servername: SERVER_NAME,
      ALPNProtocols: ['h2'],
      timeout: PROBE_MS,
      rejectUnauthorized: authority !== undefined,
      ca: authority,
    });
    const settle = (secured: boolean, error?: NodeJS.ErrnoException): void => {
      socket.destroy();
      resolve({ connected, secured, error });
    };
    socket.once('connect', () => (connected = true));
    socket.once('secureConnect', () => settle(true));
    socket.once('timeout', () => settle(false));
    socket.on('error', (error) => settle(false, error));
  });
  const { connected, secured, error } = outcome;
  if (secured && expected === 'plain') {
    return new LongtailError(`the server at ${address} lets in only who has enrolled`, {
      code: 'refused',
      where: address,
      hint: 'On the server: longtail token create; then add --token with what it prints.',
    });
  }
  if (!connected || secured || expected === 'plain') return unreachable(address, error);
  if (FOREIGN.test(error?.code ?? '')) return foreignServer(address, error);
  // Too busy, or it has too many strangers: whoever looks for it tries again.
  if (!/^ERR_SSL/.test(error?.code ?? '')) return unreachable(address, error);
  return new LongtailError(`the server at ${address} does not encrypt: a token or an identity is of no use there`, {
    code: 'refused',
    where: address,
    hint: 'Start it with --tls; or leave out --token, and `longtail forget ADDRESS` if this machine once enrolled there.',
    cause: error,
  });
}

/** Another authority than the one that is known. */
export function foreignServer(address: string, cause?: unknown): LongtailError {
  return new LongtailError(`the server at ${address} is not the one that the token or this identity is of`, {
    code: 'refused',
    where: address,
    hint: 'Somebody may stand between; or the server was set up anew: then ask for a new token.',
    cause,
  });
}
