import type { MethodDefinition } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import {
  DECODING_OPTIONS,
  DESCRIPTOR,
  PACKAGE,
  type CancelReply,
  type CancelRequest,
  type ForkRequest,
  type CertificateReply,
  type CreateTokenReply,
  type CreateTokenRequest,
  type EnrolRequest,
  type GetServerReply,
  type GetServerRequest,
  type HandOverReply,
  type HandOverRequest,
  type LaunchReply,
  type LaunchRequest,
  type ListAccessReply,
  type ListAccessRequest,
  type ListJobsReply,
  type ListJobsRequest,
  type ListNodesReply,
  type ListNodesRequest,
  type ListRunsReply,
  type ListRunsRequest,
  type NodeRow,
  type OrderNodeRequest,
  type ResumedReply,
  type ResumeRequest,
  type RenewRequest,
  type RevokeReply,
  type RevokeRequest,
  type ServerPacket,
  type StoredEvent,
  type TakeOverReply,
  type TakeOverRequest,
  type WatchRequest,
  type WorkerPacket,
} from '@longtail/protocol';

type Methods = Readonly<Record<string, MethodDefinition<object, object>>>;

const definitions = fromJSON(DESCRIPTOR as Parameters<typeof fromJSON>[0], DECODING_OPTIONS)[`${PACKAGE}.Control`] as unknown as Methods;

function method<Request, Reply>(name: string): MethodDefinition<Request, Reply> {
  return definitions[name]! as unknown as MethodDefinition<Request, Reply>;
}

/** The methods of protos/control.proto. What they decode is of the right shape, not yet validated. */
export const CONTROL_METHODS = {
  session: method<WorkerPacket, ServerPacket>('Session'),
  follow: method<WorkerPacket, ServerPacket>('Follow'),
  launch: method<LaunchRequest, LaunchReply>('Launch'),
  watch: method<WatchRequest, StoredEvent>('Watch'),
  cancel: method<CancelRequest, CancelReply>('Cancel'),
  resume: method<ResumeRequest, ResumedReply>('Resume'),
  fork: method<ForkRequest, ResumedReply>('Fork'),
  listJobs: method<ListJobsRequest, ListJobsReply>('ListJobs'),
  listRuns: method<ListRunsRequest, ListRunsReply>('ListRuns'),
  listNodes: method<ListNodesRequest, ListNodesReply>('ListNodes'),
  orderNode: method<OrderNodeRequest, NodeRow>('OrderNode'),
  getServer: method<GetServerRequest, GetServerReply>('GetServer'),
  enrol: method<EnrolRequest, CertificateReply>('Enrol'),
  renew: method<RenewRequest, CertificateReply>('Renew'),
  createToken: method<CreateTokenRequest, CreateTokenReply>('CreateToken'),
  listAccess: method<ListAccessRequest, ListAccessReply>('ListAccess'),
  revoke: method<RevokeRequest, RevokeReply>('Revoke'),
  handOver: method<HandOverRequest, HandOverReply>('HandOver'),
  takeOver: method<TakeOverRequest, TakeOverReply>('TakeOver'),
};

/** What the server does for clients. Errors reach them as the LongtailError that was thrown. */
export interface ControlService {
  launch(request: LaunchRequest): Promise<LaunchReply>;
  /** Events of a run from a sequence number on; ends after its verdict, or when the client leaves. */
  watch(request: WatchRequest, signal: AbortSignal): AsyncIterable<StoredEvent>;
  cancel(request: CancelRequest): Promise<CancelReply>;
  resume(request: ResumeRequest): Promise<ResumedReply>;
  fork(request: ForkRequest): Promise<ResumedReply>;
  listJobs(request: ListJobsRequest): Promise<ListJobsReply>;
  listRuns(request: ListRunsRequest): Promise<ListRunsReply>;
  listNodes(request: ListNodesRequest): Promise<ListNodesReply>;
  orderNode(request: OrderNodeRequest): Promise<NodeRow>;
  getServer(request: GetServerRequest): Promise<GetServerReply>;
  /** Of a standby, by the server that it follows, or by order. */
  takeOver(request: TakeOverRequest): Promise<TakeOverReply>;
}
