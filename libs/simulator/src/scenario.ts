import type { AskLayout, EngineName, Job, Lease, LeaseBook, RunEvent, ShareRule, StoredEvent, SyncStrategy, TensorChunk, TensorHeader, Verdict } from '@longtail/core';
import type { ServedFile, WorkerEvent } from '@longtail/runtime';
import type { Arithmetic } from './arithmetic.js';
import type { Fault, TimedFault } from './faults.js';
import type { FleetAccount } from './fleet-account.js';
import type { FuzzCount } from './frame-fuzz.js';
import type { CommittedLeases } from './ledger.js';
import type { MemoryStore } from './memory-store.js';
import type { VirtualModel } from './model.js';
import type { ThermalSpec } from './thermal.js';
import type { LinkSpec, PeerLinkSpec } from './virtual-network.js';

export interface SimulatedWorker {
  readonly name: string;
  readonly samplesPerSecond: number;
  /** Of every task, whatever its size. @default 1 */
  readonly overheadMs?: number;
  /** Of each task beside its passes, for its host to take it from the network to the device and back. @default 0 */
  readonly taskMs?: number;
  /** Passes take up to this fraction more or less, as drawn from the seed. @default 0 */
  readonly jitter?: number;
  /** @default 100 */
  readonly prepareMs?: number;
  /** Its rate falls under load. @default as fast hot as cool */
  readonly thermal?: ThermalSpec;
  /** Fetched over its link from elsewhere before it prepares for the first time: data, a kept model. @default 0 */
  readonly downloadBytes?: number;
  /** What it offers; by what models say that they take, not by what they take here. @default 1 GiB */
  readonly memoryBytes?: number;
  /** When it dials for the first time. @default 0 */
  readonly joinAtMs?: number;
  /** @default 1 Gbit/s both ways, 1 ms */
  readonly link?: LinkSpec;
  /** @default 'cpu' */
  readonly engine?: EngineName;
  /** Direct links to neighbours: it can be dialled, or only dials. @default everything goes through the server */
  readonly peers?: 'listens' | 'dials';
  /** Its own model, to see what happens when workers disagree. @default the scenario's */
  readonly model?: VirtualModel;
}

export interface Scenario {
  readonly job: Job;
  /** Files that workers must have before they can prepare. */
  readonly files?: readonly ServedFile[];
  /** Jobs launched right after it. */
  readonly queued?: readonly Job[];
  readonly model: VirtualModel;
  readonly fleet: readonly SimulatedWorker[];
  readonly seed: number;
  readonly faults?: readonly Fault[];
  /** More of them, maybe without end: the next one of a sequence is asked for once the one before has struck. */
  readonly churn?: readonly Iterable<TimedFault>[];
  /** Values a chunk. @default 16, so that small models have several */
  readonly chunkLength?: number;
  /** A standby follows the server, over this link. @default nobody does */
  readonly standby?: { readonly link?: LinkSpec; readonly joinAtMs?: number };
  readonly serverBitsPerSecond?: number;
  /** That the server takes for a chunk of so many bytes, one after the other: to receive it, check it and add it up. @default 0 */
  serverMs?(bytes: number): number;
  /** Whether payloads are checked as they arrive; false: for a scenario in which nothing changes any on its way. @default true */
  readonly checksums?: boolean;
  /** Until the server notices that a process is gone. @default 0: as where its system ends its connections */
  readonly noticeMs?: number;
  readonly heartbeatMs?: number;
  /** Bytes of the largest transfer that measures a link; time here is exact, so that small ones say as much. @default 0: none is measured */
  readonly probeBytes?: number;
  /** Of virtual time. @default one day */
  readonly limitMs?: number;
  /** Between two nodes, by name, that reach each other otherwise than over their links to the server: over a LAN, between two regions. @default over both their links */
  peerLink?(a: string, b: string): PeerLinkSpec | undefined;
  /** In the place of the optimizers of libs/kernels, on the server and on the devices. */
  readonly arithmetic?: Arithmetic;
  /** @default what the job says, else everybody solo */
  readonly layout?: AskLayout;
  /** That a layout takes, beside whatever else the server does. @default none, and it waits for it */
  readonly planMs?: number;
  /** In the place of the one that the job names; the outer step is the job's. */
  readonly strategy?: SyncStrategy;
  /** How a batch is split over the groups. @default balancedShares */
  readonly shares?: ShareRule;
  /** Told of each commit of the first run; `parameters` reads those of the server then. */
  committed?(commit: Commit, nowMs: number, parameters: () => Float32Array): void;
  /** Values that those of a chunk stand for where bytes are counted: a model of a few values is then as long on the wire as one of many. @default as many as it has */
  standsFor?(header: Pick<TensorHeader, 'kind' | 'length'>): number;
  /** `sync: auto` is told the links as they are described, the server's too, rather than what probes and training find. @default false */
  readonly linksKnown?: boolean;
  /**
   * Told of each event of the first run; false: it need not be kept, for a run of millions. Then neither the ledger nor the workers' events are. `moved`: bytes that
   * nodes have sent and received, where that is taken down. @default all are
   */
  keeps?(event: StoredEvent, moved: () => number): boolean;
  /** Whether what nodes are at is taken down. @default false */
  readonly account?: boolean;
  /** Told of each chunk that a node sends to the server, before anything happens to it. The payload is the node's. */
  sent?(node: string, chunk: TensorChunk): void;
  /** Stands between the run and its strategy. */
  watch?(strategy: SyncStrategy): SyncStrategy;
}

type Commit = Extract<RunEvent, { readonly event: 'commit' }>;

/** Of the first job, unless it says otherwise. */
export interface Outcome {
  readonly verdict: Verdict;
  /** Runs of the queued jobs. */
  readonly queued: readonly MemoryStore[];
  readonly events: readonly StoredEvent[];
  /** Of the server when the run ended. */
  readonly parameters: Float32Array;
  readonly steps: number;
  readonly leases: ReturnType<LeaseBook['totals']>;
  /** Samples of each commit, lease by lease, in the order in which they were applied. */
  readonly ledger: readonly CommittedLeases[];
  readonly lost: readonly Lease[];
  readonly store: MemoryStore;
  /** Of servers before it, whose standbys took over. */
  readonly earlierStores: readonly MemoryStore[];
  /** Commits that the log of a server which died had, its standby being in step, and that of its successor has not. */
  readonly lostCommits: readonly Commit[];
  /** Faults that did something. */
  readonly fired: ReadonlySet<Fault>;
  readonly fuzzed: FuzzCount;
  readonly workerEvents: ReadonlyMap<string, readonly WorkerEvent[]>;
  /** Files that each worker got from the server, by sha256. */
  readonly workerFiles: ReadonlyMap<string, ReadonlyMap<string, Uint8Array>>;
  /** How each worker ended: `left`, or the code of its error. */
  readonly workerEnds: ReadonlyMap<string, string>;
  readonly virtualMs: number;
  /** Undefined where the scenario did not ask for it. */
  readonly account: FleetAccount | undefined;
}
