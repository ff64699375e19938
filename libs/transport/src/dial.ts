import type { Client, ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { LongtailError, type Connection } from '@longtail/core';
import {
  PROTOCOL_VERSION,
  validateMessage,
  type Crc32c,
  type Hello,
  type ServerMessage,
  type ServerPacket,
  type Welcome,
  type WorkerMessage,
  type WorkerPacket,
} from '@longtail/protocol';
import type { ClientCredentials } from './access.js';
import { formatAddress, parseAddress, type Address } from './address.js';
import { openChannel } from './channel.js';
import { CONTROL_METHODS } from './control-methods.js';
import type { CurveKeys } from './curve.js';
import type { EmulatedLink } from './emulated-link.js';
import { firstPacket } from './first-packet.js';
import { Session } from './session.js';
import { fromStatus, versionMismatch } from './status.js';
import { TensorDealer } from './tensor-dealer.js';
import type { TensorMemory } from './tensor-memory.js';
import type { TensorContext } from './tensor-socket.js';
import type { UploadLimit } from './upload-limit.js';

/** For the server's welcome, and for the tensor link. */
const STEP_MS = 10_000;

export interface DialOptions {
  /** The transport fills in the key of its tensor socket. */
  readonly hello: Hello;
  readonly crc32c: Crc32c;
  /** What it proves its identity with, and the keys that its tensors are encrypted with. @default no encryption */
  readonly security?: { readonly credentials: ClientCredentials; readonly curve: CurveKeys };
  /** A server on this host reads tensors there, and lets this end read its own. @default none: tensors go over TCP */
  readonly memory?: TensorMemory;
  /** Tensors keep to it and travel, then, whether or not the server could read them in memory. @default none */
  readonly uploadLimit?: UploadLimit;
  /** Everything goes over it, and nothing through shared memory. @default the machine's own */
  readonly link?: EmulatedLink;
  /** Many sessions of one process share an I/O thread. @default each has its own */
  readonly context?: TensorContext;
  /** Aborting ends the dialling, or the session. */
  readonly signal: AbortSignal;
}

export interface Dialled {
  readonly connection: Connection<WorkerMessage, ServerMessage>;
  readonly welcome: Welcome;
}

/**
 * Opens a worker's session, or a standby's. Throws LongtailError `unreachable` when no server answers, `protocol` when it speaks another version,
 * and the server's own error when it refuses; the signal's reason when aborted.
 */
export async function dial(address: string, options: DialOptions): Promise<Dialled> {
  const { signal, link, security } = options;
  const hello = { ...options.hello, curveKey: security?.curve.publicKey ?? '' };
  const parsed = parseAddress(address);
  const client = await openChannel(formatAddress(parsed), signal, {
    via: link && formatAddress(await link.to(parsed, 'decisions')),
    credentials: security?.credentials,
  });
  try {
    const method = hello.standbyAddress === '' ? CONTROL_METHODS.session : CONTROL_METHODS.follow;
    const stream = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
    stream.on('error', () => undefined);
    stream.write({ packet: 'message', message: { message: 'hello', hello } });
    const welcome = await readWelcome(stream, formatAddress(parsed), signal);
    return { connection: await openSession(client, stream, welcome, parsed, options), welcome };
  } catch (error) {
    client.close();
    throw error;
  }
}

async function readWelcome(stream: ClientDuplexStream<WorkerPacket, ServerPacket>, address: string, signal: AbortSignal): Promise<Welcome> {
  let packet: unknown;
  try {
    packet = await firstPacket(stream, STEP_MS, `the server at ${address}`, signal);
  } catch (error) {
    stream.cancel();
    throw isServiceError(error) ? fromStatus(error, address) : error;
  }
  const valid = validateMessage('ServerPacket', packet);
  if (valid.packet === 'message' && valid.message.message === 'refused') throw LongtailError.fromWire(valid.message.refused);
  if (valid.packet === 'message' && valid.message.message === 'welcome') {
    const { welcome } = valid.message;
    if (welcome.protocol !== PROTOCOL_VERSION) throw versionMismatch('the server', welcome.protocol, PROTOCOL_VERSION);
    return welcome;
  }
  throw new LongtailError(`the server at ${address} answered hello with something else`, { code: 'protocol', where: address });
}

async function openSession(
  client: Client,
  stream: ClientDuplexStream<WorkerPacket, ServerPacket>,
  welcome: Welcome,
  server: Address,
  { hello, crc32c, security, memory, uploadLimit, link, context, signal }: DialOptions,
): Promise<Session<WorkerMessage, ServerMessage>> {
  const address = { host: server.host, port: welcome.tensorPort };
  const dealer = new TensorDealer({
    address,
    via: await link?.to(address, 'tensors'),
    standsFor: link?.standsFor,
    key: welcome.tensorKey,
    incarnation: hello.incarnation,
    crc32c,
    memory: link === undefined && uploadLimit === undefined ? memory : undefined,
    uploadLimit,
    context,
    curve: security && { own: security.curve, theirs: welcome.tensorCurveKey },
    failed: (error) => session.fail(error),
  });
  const aborted = (): void => session.close('the worker was stopped');
  const session = new Session<WorkerMessage, ServerMessage>({
    peer: formatAddress(server),
    stream,
    link: dealer.link,
    validate: (packet) => validateMessage('ServerPacket', packet),
    outgoing: (message) => message,
    release: () => {
      signal.removeEventListener('abort', aborted);
      clearTimeout(deadline);
      dealer.close();
      closeAfter(client, stream);
    },
  });
  signal.addEventListener('abort', aborted, { once: true });
  const deadline = setTimeout(() => session.close(`its tensor port ${welcome.tensorPort} did not answer`), STEP_MS);
  try {
    await dealer.opened;
  } catch (error) {
    session.close('the tensor link did not open');
    throw signal.aborted ? signal.reason : error;
  }
  clearTimeout(deadline);
  return session;
}

/** Lets what was written reach the server, then closes the channel; a server that does not end the stream is not waited for. */
function closeAfter(client: Client, stream: ClientDuplexStream<WorkerPacket, ServerPacket>): void {
  const force = setTimeout(() => stream.cancel(), 1_000);
  stream.on('status', () => {
    clearTimeout(force);
    client.close();
  });
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'metadata' in error;
}
