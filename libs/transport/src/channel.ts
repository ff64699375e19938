import { createSecureContext } from 'node:tls';
import { Client, connectivityState, credentials as channelCredentials, logVerbosity, setLogVerbosity, type ChannelCredentials } from '@grpc/grpc-js';
import { LongtailError, SERVER_NAME } from '@longtail/core';
import { LIMITS } from '@longtail/protocol';
import type { ClientCredentials } from './access.js';
import { parseAddress } from './address.js';
import { unreachable } from './status.js';
import { explainFailure } from './tls-failure.js';

// Every failure is reported as an error; gRPC's own lines on stderr would tell it twice, in its words.
if (process.env.GRPC_VERBOSITY === undefined) setLogVerbosity(logVerbosity.NONE);

/** How long a host that says nothing, not even no, is waited for. */
const CONNECT_MS = 5_000;

/**
 * For servers and clients of gRPC. A dead host is noticed within 10 s; a peer whose JavaScript is blocked answers no ping, so the
 * timeout must exceed its longest block (6 s of native compute was seen).
 */
export const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 2_500,
  'grpc.keepalive_timeout_ms': 7_500,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': 250,
  'grpc.max_reconnect_backoff_ms': 5_000,
  'grpc.max_receive_message_length': LIMITS.messageBytes,
  'grpc.max_send_message_length': LIMITS.messageBytes,
  // Retries are the caller's to decide: a launch is not idempotent.
  'grpc.enable_retries': 0,
} as const;

/** What a server may send before it hears that some of it was read: a list of thousands of nodes does not wait for a turn of a busy server every 64 KiB. */
const WINDOW_BYTES = 4 * 1024 * 1024;

export interface ChannelOptions {
  /** Where to dial instead, to get there over an emulated link. */
  readonly via?: string;
  /** TLS 1.3 with these. @default no encryption */
  readonly credentials?: ClientCredentials;
}

/** A channel that is up. Throws LongtailError `unreachable` or `refused` at the first failure to connect, `storage` for credentials that are none, or the signal's reason. */
export async function openChannel(address: string, signal: AbortSignal, { via = address, credentials }: ChannelOptions = {}): Promise<Client> {
  signal.throwIfAborted();
  const client = new Client(via, secure(credentials), {
    ...CHANNEL_OPTIONS,
    'grpc-node.flow_control_window': WINDOW_BYTES,
    'grpc.use_local_subchannel_pool': 1,
    ...(credentials && { 'grpc.ssl_target_name_override': SERVER_NAME, 'grpc.default_authority': SERVER_NAME }),
  });
  const close = (): void => client.close();
  signal.addEventListener('abort', close, { once: true });
  try {
    await ready(client, address);
    return client;
  } catch {
    client.close();
    signal.throwIfAborted();
    throw await explainFailure(address, parseAddress(via), credentials === undefined ? 'plain' : 'encrypted', credentials?.authority);
  } finally {
    signal.removeEventListener('abort', close);
  }
}

function secure(credentials: ClientCredentials | undefined): ChannelCredentials {
  if (credentials === undefined) return channelCredentials.createInsecure();
  const { authority, certificate, privateKey } = credentials;
  try {
    return channelCredentials.createFromSecureContext(createSecureContext({ ca: authority, cert: certificate, key: privateKey, minVersion: 'TLSv1.3' }));
  } catch (cause) {
    throw new LongtailError(`the certificate that is kept for this server is damaged: ${(cause as Error).message}`, {
      code: 'storage',
      hint: 'longtail forget ADDRESS, then come with a new token: longtail token create on the server.',
      cause,
    });
  }
}

/** Waiting for a whole deadline, as gRPC's own waitForReady does, would hide for seconds that nobody listens there. */
function ready(client: Client, address: string): Promise<void> {
  const deadline = Date.now() + CONNECT_MS;
  const channel = client.getChannel();
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) resolve();
      else if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN) reject(unreachable(address, undefined));
      else channel.watchConnectivityState(state, deadline, (error) => (error ? reject(unreachable(address, error)) : look()));
    };
    look();
  });
}
