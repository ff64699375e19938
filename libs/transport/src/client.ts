import type { Client, MethodDefinition } from '@grpc/grpc-js';
import {
  PROTOCOL_VERSION,
  validateMessage,
  type CancelReply,
  type CancelRequest,
  type ForkRequest,
  type GetServerReply,
  type LaunchReply,
  type ListJobsReply,
  type ListNodesReply,
  type MessageTypes,
  type ResumedReply,
  type ResumeRequest,
  type StoredEvent,
  type WatchRequest,
} from '@longtail/protocol';
import { formatAddress, parseAddress } from './address.js';
import { openChannel } from './channel.js';
import { CONTROL_METHODS } from './control-methods.js';
import { fromStatus, versionMismatch } from './status.js';

const CALL_MS = 30_000;

/** What a client may ask of a server. Every call throws the server's LongtailError, `unreachable`, `timeout`, or the signal's reason. */
export interface ControlClient {
  readonly address: string;
  /** As it was when the client connected. */
  readonly server: GetServerReply;
  launch(jobJson: string, signal: AbortSignal): Promise<LaunchReply>;
  /** Events of a run from a sequence number on; ends after its verdict. Leaving the loop ends the call. */
  watch(request: WatchRequest, signal: AbortSignal): AsyncIterable<StoredEvent>;
  cancel(request: CancelRequest, signal: AbortSignal): Promise<CancelReply>;
  resume(request: ResumeRequest, signal: AbortSignal): Promise<ResumedReply>;
  fork(request: ForkRequest, signal: AbortSignal): Promise<ResumedReply>;
  listJobs(signal: AbortSignal): Promise<ListJobsReply>;
  listNodes(signal: AbortSignal): Promise<ListNodesReply>;
  getServer(signal: AbortSignal): Promise<GetServerReply>;
  close(): void;
}

/** Connects and compares protocol versions. Throws LongtailError `unreachable` or `protocol`. */
export async function connectClient(address: string, signal: AbortSignal): Promise<ControlClient> {
  const where = formatAddress(parseAddress(address));
  const client = await openChannel(where, signal);
  try {
    const server = await call(client, where, CONTROL_METHODS.getServer, 'GetServerReply', {}, signal);
    if (server.protocol !== PROTOCOL_VERSION) throw versionMismatch('the server', server.protocol, PROTOCOL_VERSION);
    return controlClient(client, where, server);
  } catch (error) {
    client.close();
    throw error;
  }
}

function controlClient(client: Client, where: string, server: GetServerReply): ControlClient {
  const { launch, cancel, resume, fork, listJobs, listNodes, getServer } = CONTROL_METHODS;
  return {
    address: where,
    server,
    launch: (jobJson, signal) => call(client, where, launch, 'LaunchReply', { protocol: PROTOCOL_VERSION, jobJson }, signal),
    watch: (request, signal) => watch(client, where, request, signal),
    cancel: (request, signal) => call(client, where, cancel, 'CancelReply', request, signal),
    resume: (request, signal) => call(client, where, resume, 'ResumedReply', request, signal),
    fork: (request, signal) => call(client, where, fork, 'ResumedReply', request, signal),
    listJobs: (signal) => call(client, where, listJobs, 'ListJobsReply', {}, signal),
    listNodes: (signal) => call(client, where, listNodes, 'ListNodesReply', {}, signal),
    getServer: (signal) => call(client, where, getServer, 'GetServerReply', {}, signal),
    close: () => client.close(),
  };
}

function call<Request, Name extends keyof MessageTypes>(
  client: Client,
  where: string,
  method: MethodDefinition<Request, MessageTypes[Name]>,
  replyName: Name,
  request: Request,
  signal: AbortSignal,
): Promise<MessageTypes[Name]> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = method;
    const unary = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, { deadline: Date.now() + CALL_MS }, (error, reply) => {
      signal.removeEventListener('abort', aborted);
      if (error !== null) {
        reject(signal.aborted ? (signal.reason as Error) : fromStatus(error, where));
        return;
      }
      try {
        resolve(validateMessage(replyName, reply));
      } catch (invalid) {
        reject(invalid as Error);
      }
    });
    const aborted = (): void => unary.cancel();
    signal.addEventListener('abort', aborted, { once: true });
  });
}

async function* watch(client: Client, where: string, request: WatchRequest, signal: AbortSignal): AsyncGenerator<StoredEvent> {
  signal.throwIfAborted();
  const { path, requestSerialize, responseDeserialize } = CONTROL_METHODS.watch;
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
  const aborted = (): void => stream.cancel();
  signal.addEventListener('abort', aborted, { once: true });
  try {
    for await (const event of stream) yield validateMessage('StoredEvent', event);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof Error && 'metadata' in error ? fromStatus(error as Parameters<typeof fromStatus>[0], where) : error;
  } finally {
    signal.removeEventListener('abort', aborted);
    stream.on('error', () => undefined);
    stream.cancel();
  }
}
