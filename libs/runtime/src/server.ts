import type { Job, StoredEvent, Verdict } from '@longtail/core';
import type { GetServerReply, Hello, JobRow, NodeRow, OrderNodeRequest, PeerLink } from '@longtail/protocol';
import type { FollowedAccess } from './access-following.js';
import type { Resumption, RunSnapshot, ServedFile, ServerConnection } from './ports.js';

export interface ServerOptions {
  /** Of the package, for people. @default '' */
  readonly version?: string;
  /** @default 2000 */
  readonly heartbeatMs?: number | undefined;
  /** Values a chunk of a tensor; must equal the workers'. @default 262144 */
  readonly chunkLength?: number | undefined;
  /** As many nodes as there will ever be. @default any number */
  readonly fleetSize?: number | undefined;
  /** How often servers have taken over from one another. @default 1 */
  readonly epoch?: number;
  /** Where its standby listens, when one has come; empty: the server ends in order, and nobody is to take over. */
  readonly onStandby?: (address: string) => void;
  /** It is gone, and may have taken over. Resolves once that cannot be any more: until then nodes are told that it is where it was. */
  readonly standbyGone?: () => Promise<void>;
  /** Whom it lets in, which its standby is to know. @default everybody */
  readonly access?: FollowedAccess | undefined;
  /** Names the machine, as workers on it do. @default '': not known */
  readonly host?: string;
  /** Its standby at that address is gone, and may have taken over: commits wait until it is back, or enough nodes know that it is gone. */
  readonly commitsWait?: (standby: string) => void;
  /** Its standby at that address did not confirm in time that somebody was let in or shut out. */
  readonly accessBehind?: (standby: string) => void;
  /** A node was told of a server of a higher epoch: this one may have been succeeded. */
  readonly outrun?: (epoch: number) => void;
  /** Bytes of the largest transfer that measures a link. 0: none is measured. @default 32 MiB */
  readonly probeBytes?: number;
}

/** The control plane and its parameter shards: who is here, which runs there are, and what they do. */
export interface Server {
  /** A worker, or a standby, dialled and its hello was checked; the server answers with welcome. */
  onSession(connection: ServerConnection, hello: Hello): void;
  /**
   * Resolves when the run is there (its `submitted` event is in the log); it starts as soon as it has workers. `from`: with
   * the parameters, the state and the data cursor of another run of the same model and data, which are its first durable
   * version. Throws LongtailError `usage` where nothing is left to learn then, and what `openRun` throws.
   */
  launch(job: Job, files: readonly ServedFile[], from?: RunSnapshot): Promise<LaunchedRun>;
  /** Goes on with a run that this server does not have, or that has ended. Throws LongtailError `usage` for one that goes on. */
  resume(resumption: Resumption): LaunchedRun;
  /** Resolves when the run has ended and its store is finished. LongtailError `usage` for an unknown run, here and below. */
  verdict(run: string): Promise<Verdict>;
  /** Events from `fromSeq` on, then live ones until the verdict or the signal. */
  watch(run: string, fromSeq: number, signal: AbortSignal): AsyncIterable<StoredEvent>;
  /** Asks a run to end; what was learnt is saved. Resolves with its status: `cancelling`, or how it had ended. */
  cancel(run: string, reason: string): Promise<string>;
  jobs(): readonly JobRow[];
  nodes(): readonly NodeRow[];
  /**
   * Lets a node, by id or by a name that it alone has, rest, work again, or leave once it is done; returns how it stands then.
   * LongtailError `usage` for one that is not here.
   */
  order(node: string, order: NodeOrder, reason: string): NodeRow;
  /** Direct links between them, as far as they were measured. */
  peers(): readonly PeerLink[];
  info(): GetServerReply;
  /** Its standby is there, and has confirmed who is let in and who is not. */
  readonly standbyKnowsAccess: boolean;
  /** Cancels what runs, waits for the verdicts, then ends the sessions. */
  close(reason: string): Promise<void>;
}

export type NodeOrder = OrderNodeRequest['order'];

export interface LaunchedRun {
  readonly run: string;
  readonly folder: string;
}
