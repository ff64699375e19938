import { randomBytes } from 'node:crypto';
import { Server, ServerCredentials, type ServerDuplexStream, type ServerUnaryCall, type ServerWritableStream, type sendUnaryData } from '@grpc/grpc-js';
import { LongtailError, type Connection, type PeerIdentity } from '@longtail/core';
import {
  PROTOCOL_VERSION,
  validateMessage,
  type Crc32c,
  type Hello,
  type MessageTypes,
  type RevokeReply,
  type RevokeRequest,
  type ServerMessage,
  type ServerPacket,
  type StoredEvent,
  type WatchRequest,
  type WorkerMessage,
  type WorkerPacket,
} from '@longtail/protocol';
import type { ServerAccess } from './access.js';
import { bindFailure, formatAddress } from './address.js';
import { authorization, identityOf } from './authorization.js';
import { CHANNEL_OPTIONS } from './channel.js';
import { CONTROL_METHODS, type ControlService } from './control-methods.js';
import { createCurveKeys, type CurveKeys } from './curve.js';
import type { EmulatedLink } from './emulated-link.js';
import { firstPacket } from './first-packet.js';
import { sparing } from './rate-bound.js';
import { SecureGate } from './secure-gate.js';
import { Session } from './session.js';
import { toStatus, versionMismatch } from './status.js';
import type { TensorMemory } from './tensor-memory.js';
import { TensorRouter } from './tensor-router.js';

/** How long a peer may take for its hello, and its tensor link for its key. */
const HANDSHAKE_MS = 10_000;

const CONNECTIONS_OF_IDENTITY = 256;

/** 32 bytes, Z85. */
const CURVE_KEY = /^[!-~]{40}$/;

/** How long close() waits for peers to take their leave. */
const CLOSE_GRACE_MS = 2_000;

export interface ListenOptions {
  /** Address to listen on; only this machine unless told otherwise. @default '127.0.0.1' */
  readonly host?: string;
  /** Port of decisions; 0: any free one. */
  readonly port: number;
  /** Port of tensors. @default the port after `port`, or any free one when that is 0 */
  readonly tensorPort?: number;
  readonly control: ControlService;
  readonly crc32c: Crc32c;
  /** TLS for decisions and CURVE for tensors, and only for those it lets in. @default everybody who connects, without encryption */
  readonly access?: ServerAccess;
  /** That one whom it lets in may have at a time. @default 256 */
  readonly connectionsOfIdentity?: number | undefined;
  /**
   * A worker said hello, in the right protocol version. The application answers with `welcome`, whose tensor fields the transport
   * fills in, or with `refused` and close().
   */
  readonly onSession: (connection: Connection<ServerMessage, WorkerMessage>, hello: Hello) => void;
  /** Something that no session sent was dropped: a stranger's bytes on the tensor port, a stream without hello. */
  readonly onDropped?: (reason: string) => void;
  /** Workers on this host read tensors there, and let this end read theirs. @default none: tensors go over TCP */
  readonly memory?: TensorMemory;
  /** Everything comes over it, from ports of its own whatever `port` says, and nothing through shared memory. @default the machine's own */
  readonly link?: EmulatedLink;
  readonly signal: AbortSignal;
}

export interface Listener {
  /** What workers and clients dial. */
  readonly address: string;
  readonly port: number;
  readonly tensorPort: number;
  /** Ends all sessions with the reason and frees both ports. */
  close(reason: string): Promise<void>;
}

/** What serving takes, beside the options. */
interface Host {
  readonly options: ListenOptions;
  readonly dropped: (reason: string) => void;
  readonly router: TensorRouter;
  readonly tensorPort: number;
  /** Of the tensor port; undefined: it is not encrypted. */
  readonly curve: CurveKeys | undefined;
  /** With the identity of the worker; empty: nobody asked. */
  readonly sessions: Map<Session<ServerMessage, WorkerMessage>, string>;
  /** Undefined: there are no certificates. */
  readonly gate: SecureGate | undefined;
}

/** Serves workers and clients. Throws LongtailError `address-in-use` naming the port and the flag that changes it, `unreachable`, or the signal's reason. */
export async function listen(options: ListenOptions): Promise<Listener> {
  options.signal.throwIfAborted();
  const { host = '127.0.0.1', link, access } = options;
  const dropped = sparing(options.onDropped ?? ((): void => undefined), () => performance.now());
  const inside = link === undefined ? host : '127.0.0.1';
  const server = new Server({ ...CHANNEL_OPTIONS, interceptors: access && [authorization(access)] });
  const gate = access && new SecureGate(server, access, dropped, options.connectionsOfIdentity ?? CONNECTIONS_OF_IDENTITY);
  const curve = access && createCurveKeys();
  let router: TensorRouter | undefined;
  let ports: readonly [control: number, tensors: number];
  try {
    const bound = await (gate?.listen(inside, options.port) ?? bind(server, inside, options.port));
    router = await TensorRouter.bind({
      host: inside,
      port: options.tensorPort ?? (options.port === 0 ? 0 : bound + 1),
      crc32c: options.crc32c,
      memory: link === undefined ? options.memory : undefined,
      curve: curve && { own: curve, patienceMs: 0 },
      watchedElsewhere: true,
      dropped,
    });
    ports = link === undefined ? [bound, router.port] : [await link.from(host, bound, 'decisions'), await link.from(host, router.port, 'tensors')];
    options.signal.throwIfAborted();
  } catch (error) {
    server.forceShutdown();
    gate?.close();
    await router?.close();
    throw error;
  }
  const [port, tensorPort] = ports;
  const serving: Host = { options, dropped, router, tensorPort, curve, sessions: new Map(), gate };
  serve(server, serving);

  let closing: Promise<void> | undefined;
  const close = (reason: string): Promise<void> => {
    options.signal.removeEventListener('abort', aborted);
    return (closing ??= closeAll(server, serving, reason));
  };
  const aborted = (): void => void close('the server was stopped');
  options.signal.addEventListener('abort', aborted, { once: true });
  return { address: formatAddress({ host, port }), port, tensorPort, close };
}

function bind(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(formatAddress({ host, port }), ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(bindFailure({ host, port }, '--port', error));
    });
  });
}

async function closeAll(server: Server, { router, sessions, gate }: Host, reason: string): Promise<void> {
  for (const session of sessions.keys()) session.close(reason);
  await new Promise<void>((resolve) => {
    const force = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, CLOSE_GRACE_MS);
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
  gate?.close();
  await router.close();
}

function serve(server: Server, host: Host): void {
  const { control, access } = host.options;
  server.addService(CONTROL_METHODS, {
    session: (stream: ServerDuplexStream<WorkerPacket, ServerPacket>) => void admit(stream, host, 'worker'),
    follow: (stream: ServerDuplexStream<WorkerPacket, ServerPacket>) => void admit(stream, host, 'standby'),
    launch: unary('LaunchRequest', (request) => {
      if (request.protocol !== PROTOCOL_VERSION) throw versionMismatch('the client', request.protocol, PROTOCOL_VERSION);
      return control.launch(request);
    }),
    watch: (call: ServerWritableStream<WatchRequest, StoredEvent>) => void pour(call, control),
    cancel: unary('CancelRequest', (request) => control.cancel(request)),
    resume: unary('ResumeRequest', (request) => control.resume(request)),
    fork: unary('ForkRequest', (request) => control.fork(request)),
    listJobs: unary('ListJobsRequest', (request) => control.listJobs(request)),
    listRuns: unary('ListRunsRequest', (request) => control.listRuns(request)),
    listNodes: unary('ListNodesRequest', (request) => control.listNodes(request)),
    orderNode: unary('OrderNodeRequest', (request) => control.orderNode(request)),
    getServer: unary('GetServerRequest', (request) => control.getServer(request)),
    enrol: unary('EnrolRequest', (request) => {
      if (request.protocol !== PROTOCOL_VERSION) throw versionMismatch('the client', request.protocol, PROTOCOL_VERSION);
      return certified(access).enrol(request);
    }),
    renew: unary('RenewRequest', (request, call) => certified(access).renew(request, identityOf(call, certified(access)))),
    createToken: unary('CreateTokenRequest', (request) => certified(access).createToken(request)),
    listAccess: unary('ListAccessRequest', () => certified(access).listAccess()),
    revoke: unary('RevokeRequest', (request) => revoke(request, host)),
    takeOver: unary('TakeOverRequest', (request) => control.takeOver(request)),
    handOver: unary('HandOverRequest', () => certified(access).handOver()),
  });
}

function certified(access: ServerAccess | undefined): ServerAccess {
  if (access !== undefined) return access;
  throw new LongtailError('this server lets in everybody: it has no certificates', { code: 'refused', hint: 'Start it with longtail up --tls.' });
}

async function revoke(request: RevokeRequest, { options, sessions, gate }: Host): Promise<RevokeReply> {
  const reply = await certified(options.access).revoke(request);
  for (const [session, identity] of sessions) if (reply.identities.includes(identity)) session.close('its identity was revoked');
  gate?.reviewAll();
  return reply;
}

/** From hello to a session in the application's hands. */
async function admit(stream: ServerDuplexStream<WorkerPacket, ServerPacket>, host: Host, as: 'worker' | 'standby'): Promise<void> {
  const { options, dropped } = host;
  const peer = stream.getPeer();
  let hello: Hello;
  let identity: PeerIdentity | undefined;
  try {
    hello = readHello(await firstPacket(stream, HANDSHAKE_MS, peer, options.signal));
    // Who may be which is decided by the method.
    if ((hello.standbyAddress === '') !== (as === 'worker')) throw new LongtailError(`a ${as} comes with another hello`, { code: 'protocol' });
    identity = options.access && identityOf(stream, options.access);
    if (identity !== undefined && !CURVE_KEY.test(hello.curveKey)) throw new LongtailError('hello has no key for encrypted tensors', { code: 'protocol' });
  } catch (error) {
    dropped(`${peer}: ${LongtailError.from(error).message}`);
    refuse(stream, LongtailError.from(error));
    return;
  }
  if (identity !== undefined && as === 'worker') hello = boundTo(identity, hello);
  options.onSession(openSession(stream, hello, identity?.id ?? '', host), hello);
}

/** A node's id begins with the identity that it enrolled as, so that nobody takes another's place; one identity may have several workers. */
function boundTo({ id }: PeerIdentity, hello: Hello): Hello {
  const own = hello.node.startsWith(`${id}.`) && /^\.[0-9a-f]{4,8}$/.test(hello.node.slice(id.length));
  return own ? hello : { ...hello, node: `${id}.${randomBytes(4).toString('hex')}` };
}

function readHello(packet: unknown): Hello {
  const valid = validateMessage('WorkerPacket', packet);
  if (valid.packet !== 'message' || valid.message.message !== 'hello') {
    throw new LongtailError('a session begins with hello', { code: 'protocol' });
  }
  const { hello } = valid.message;
  if (hello.protocol !== PROTOCOL_VERSION) throw versionMismatch('the worker', hello.protocol, PROTOCOL_VERSION);
  return hello;
}

function refuse(stream: ServerDuplexStream<WorkerPacket, ServerPacket>, error: LongtailError): void {
  stream.on('error', () => undefined);
  stream.write({ packet: 'message', message: { message: 'refused', refused: error.toWire() } });
  stream.end();
  stream.resume();
}

function openSession(
  stream: ServerDuplexStream<WorkerPacket, ServerPacket>,
  hello: Hello,
  identity: string,
  { router, tensorPort, curve, sessions }: Host,
): Session<ServerMessage, WorkerMessage> {
  let deadline: NodeJS.Timeout | undefined;
  const seat = router.seat(
    hello.incarnation,
    () => clearTimeout(deadline),
    (error) => session.fail(error),
    hello.curveKey,
  );
  const session = new Session<ServerMessage, WorkerMessage>({
    peer: `${hello.name} (${stream.getPeer()})`,
    stream,
    link: seat.link,
    validate: (packet) => validateMessage('WorkerPacket', packet),
    outgoing: (message) => {
      if (message.message !== 'welcome') return message;
      deadline = setTimeout(() => session.close('its tensor link did not open'), HANDSHAKE_MS);
      return { message: 'welcome', welcome: { ...message.welcome, tensorPort, tensorKey: seat.key, tensorCurveKey: curve?.publicKey ?? '' } };
    },
    release: () => {
      clearTimeout(deadline);
      seat.leave();
      sessions.delete(session);
    },
  });
  sessions.set(session, identity);
  return session;
}

function unary<Name extends keyof MessageTypes, Reply>(
  name: Name,
  handle: (request: MessageTypes[Name], call: ServerUnaryCall<MessageTypes[Name], Reply>) => Promise<Reply>,
): (call: ServerUnaryCall<MessageTypes[Name], Reply>, callback: sendUnaryData<Reply>) => void {
  return (call, callback) => {
    Promise.resolve()
      .then(() => handle(validateMessage(name, call.request), call))
      .then(
        (reply) => callback(null, reply),
        (error: unknown) => callback(toStatus(error)),
      );
  };
}

/** Writes a run's events as fast as the client reads them. */
async function pour(call: ServerWritableStream<WatchRequest, StoredEvent>, control: ControlService): Promise<void> {
  const gone = new AbortController();
  call.on('cancelled', () => gone.abort());
  call.on('error', () => gone.abort());
  try {
    for await (const event of control.watch(validateMessage('WatchRequest', call.request), gone.signal)) {
      if (gone.signal.aborted) return;
      if (!call.write(event)) await drained(call, gone.signal);
    }
    call.end();
  } catch (error) {
    if (!gone.signal.aborted) call.emit('error', toStatus(error));
  }
}

function drained(call: ServerWritableStream<WatchRequest, StoredEvent>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    call.on('drain', done);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
