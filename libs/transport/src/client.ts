import type { Client } from '@grpc/grpc-js';
import {
  PROTOCOL_VERSION,
  validateMessage,
  type CancelReply,
  type CancelRequest,
  type CreateTokenReply,
  type CreateTokenRequest,
  type ForkRequest,
  type GetServerReply,
  type LaunchReply,
  type ListAccessReply,
  type ListJobsReply,
  type ListNodesReply,
  type ListNodesRequest,
  type ListRunsReply,
  type ListRunsRequest,
  type NodeRow,
  type OrderNodeRequest,
  type ResumedReply,
  type ResumeRequest,
  type RevokeReply,
  type RevokeRequest,
  type StoredEvent,
  type TakeOverReply,
  type TakeOverRequest,
  type WatchRequest,
} from '@longtail/protocol';
import type { ClientCredentials } from './access.js';
import { formatAddress, parseAddress } from './address.js';
import { call } from './call.js';
import { openChannel } from './channel.js';
import { CONTROL_METHODS } from './control-methods.js';
import { fromStatus, versionMismatch } from './status.js';

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
  listRuns(request: ListRunsRequest, signal: AbortSignal): Promise<ListRunsReply>;
  listNodes(signal: AbortSignal, request?: ListNodesRequest): Promise<ListNodesReply>;
  /** Lets a node, by id or name, rest, work again, or leave once it is done; resolves with how it stands then. */
  orderNode(request: OrderNodeRequest, signal: AbortSignal): Promise<NodeRow>;
  getServer(signal: AbortSignal): Promise<GetServerReply>;
  createToken(request: CreateTokenRequest, signal: AbortSignal): Promise<CreateTokenReply>;
  listAccess(signal: AbortSignal): Promise<ListAccessReply>;
  revoke(request: RevokeRequest, signal: AbortSignal): Promise<RevokeReply>;
  /** Tells a standby that the server which it follows was started again, without what it holds; or orders it to take over. */
  takeOver(request: TakeOverRequest, signal: AbortSignal): Promise<TakeOverReply>;
  /** Another connection to the same server, which may have been started anew, or to its standby at `address`. Throws as `connectClient`. */
  reconnect(signal: AbortSignal, address?: string): Promise<ControlClient>;
  close(): void;
}

/** Connects and compares protocol versions. Throws LongtailError `unreachable`, `protocol` or `refused`. */
export async function connectClient(address: string, signal: AbortSignal, credentials?: ClientCredentials): Promise<ControlClient> {
  const where = formatAddress(parseAddress(address));
  const client = await openChannel(where, signal, { credentials });
  try {
    const server = await call(client, where, CONTROL_METHODS.getServer, 'GetServerReply', {}, signal);
    if (server.protocol !== PROTOCOL_VERSION) throw versionMismatch('the server', server.protocol, PROTOCOL_VERSION);
    return controlClient(client, where, server, (again, other = address) => connectClient(other, again, credentials));
  } catch (error) {
    client.close();
    throw error;
  }
}

function controlClient(client: Client, where: string, server: GetServerReply, reconnect: ControlClient['reconnect']): ControlClient {
  const { launch, cancel, resume, fork, listJobs, listRuns, listNodes, orderNode, getServer, createToken, listAccess, revoke, takeOver } = CONTROL_METHODS;
  return {
    address: where,
    server,
    launch: (jobJson, signal) => call(client, where, launch, 'LaunchReply', { protocol: PROTOCOL_VERSION, jobJson }, signal),
    watch: (request, signal) => watch(client, where, request, signal),
    cancel: (request, signal) => call(client, where, cancel, 'CancelReply', request, signal),
    resume: (request, signal) => call(client, where, resume, 'ResumedReply', request, signal),
    fork: (request, signal) => call(client, where, fork, 'ResumedReply', request, signal),
    listJobs: (signal) => call(client, where, listJobs, 'ListJobsReply', {}, signal),
    listRuns: (request, signal) => call(client, where, listRuns, 'ListRunsReply', request, signal),
    listNodes: (signal, request = { gone: false }) => call(client, where, listNodes, 'ListNodesReply', request, signal),
    orderNode: (request, signal) => call(client, where, orderNode, 'NodeRow', request, signal),
    getServer: (signal) => call(client, where, getServer, 'GetServerReply', {}, signal),
    createToken: (request, signal) => call(client, where, createToken, 'CreateTokenReply', request, signal),
    listAccess: (signal) => call(client, where, listAccess, 'ListAccessReply', {}, signal),
    revoke: (request, signal) => call(client, where, revoke, 'RevokeReply', request, signal),
    takeOver: (request, signal) => call(client, where, takeOver, 'TakeOverReply', request, signal),
    reconnect,
    close: () => client.close(),
  };
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
