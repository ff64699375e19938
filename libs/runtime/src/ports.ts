import type {
  AllocateTensor,
  AskLayout,
  ChooseSync,
  Clock,
  Codec,
  Connection,
  DataFile,
  EventLog,
  FeedbackEncoder,
  Job,
  LongtailError,
  LeaseBook,
  LeaseBookState,
  LearningRateSchedule,
  OptimizerSpec,
  ParameterLayout,
  ParameterShard,
  RecordedChunk,
  Rng,
  Schedule,
  ScheduleName,
  ShareRule,
  StateVector,
  StoredEvent,
  SyncStrategy,
  TopKSpec,
  Verdict,
} from '@longtail/core';
import type { NodeRow, ServerMessage, WorkerMessage } from '@longtail/protocol';

/** A session as the server holds it, and as the worker does. */
export type ServerConnection = Connection<ServerMessage, WorkerMessage>;
export type WorkerConnection = Connection<WorkerMessage, ServerMessage>;

/** Everything that a run needs to go on from here. The vectors are the receiver's until its promise settles. */
export interface RunSnapshot {
  readonly run: string;
  readonly job: Job;
  readonly layout: ParameterLayout;
  readonly version: number;
  /** Optimizer steps behind `state`. */
  readonly steps: number;
  readonly parameters: Float32Array;
  /** Flat moment vectors in the optimizer's order. */
  readonly state: readonly StateVector[];
  readonly leases: LeaseBookState;
  /** Of the data. */
  readonly validationSamples: number;
  /** Of the model; undefined: nobody counted. */
  readonly blocks: number | undefined;
  readonly metrics: Verdict['metrics'];
}

/** A run that an earlier server left unfinished, or that ended before its samples did. */
export interface Resumption {
  readonly store: RunStore;
  /** As it was launched. */
  readonly job: Job;
  readonly files: readonly ServedFile[];
  /** Its last durable version; undefined: there never was one, and it begins anew. */
  readonly snapshot: RunSnapshot | undefined;
  /** Its log so far. */
  readonly past: readonly StoredEvent[];
  /** Why it has to be resumed. */
  readonly reason: string;
  /** This server was the standby of the one that had the run: `snapshot` is what it held, and durable nowhere yet. */
  readonly succession?: { readonly from: string; readonly address: string; readonly epoch: number; readonly silentMs: number };
}

/** What the versions of a run are made of, in order, so that they can be computed again. Failures are LongtailError `storage`. */
export interface Recording {
  /** Begins with this version, whatever came later before. Throws LongtailError `usage` where it will need more than the job lets it, `bytes` in all, `storage` where there is less room. */
  begin(from: RunSnapshot, bytes: number): Promise<void>;
  /** Leaves out what came after `version`; resolves with the last version that is there, undefined: there is no beginning. */
  rewind(version: number): Promise<number | undefined>;
  /** Takes all of it or nothing: LongtailError `storage` where it would be more than the job lets it. */
  append(version: number, chunks: Iterable<RecordedChunk>): Promise<void>;
  /** Resolves when all of it survives a power cut. */
  flush(): Promise<void>;
}

/** Where a run leaves what it makes. Failures are LongtailError `storage` and end the run. */
export interface RunStore {
  /** The run's id, unique for ever. */
  readonly run: string;
  /** For people: the run's folder. */
  readonly folder: string;
  readonly log: EventLog;
  /** What another server makes a store of the same run of. */
  readonly description: object;
  /** Where the job is to be recorded. */
  readonly recording?: Recording | undefined;
  /** Written beside the rounds; at most one at a time. Durable when it resolves; `behind`: not yet where it belongs, and why. */
  checkpoint(snapshot: RunSnapshot): Promise<{ readonly path: string; readonly bytes: number; readonly behind?: LongtailError }>;
  /** The trained model. After it only a last checkpoint and the verdict are written. */
  saveModel(snapshot: RunSnapshot): Promise<{ readonly path: string; readonly bytes: number }>;
  /** After the verdict was appended: close the log, write the report. */
  finish(verdict: Verdict): Promise<void>;
}

/** Error feedback for a vector of `length`; `topK` is what `top-k` keeps. */
export type CreateFeedback = (length: number, topK: TopKSpec) => FeedbackEncoder;

/** A file that the server serves to workers which miss it. */
export interface ServedFile extends DataFile {
  /** Bytes [offset, offset + length), at once: from memory, a mapping or a synchronous read. Throws LongtailError `missing-file`. */
  read(offset: number, length: number): Uint8Array;
}

/** A worker's files by content. */
export interface FileCache {
  /** Local path of the file when it is here, whole. */
  find(file: DataFile, signal: AbortSignal): Promise<string | undefined>;
  receive(file: DataFile): Promise<FileSink>;
}

/** A file on its way in. */
export interface FileSink {
  /** Bytes in order; resolves when the next may come. */
  write(bytes: Uint8Array): Promise<void>;
  /** Path of the whole file; rejects with LongtailError `checksum` when the content is not what was promised. */
  finish(): Promise<string>;
  abandon(): Promise<void>;
}

/** What the server needs from the leaf libraries and from the process around it. */
export interface ServerDependencies {
  /** Times in events are its times: give it an origin at the Unix epoch. `sleep(0)` must let sockets have a turn. */
  readonly clock: Clock;
  /** Draws node ids. */
  readonly rng: Rng;
  readonly codecs: readonly Codec[];
  /** Memory for what is sent to workers. @default that of JavaScript */
  readonly allocate?: AllocateTensor;
  openRun(job: Job): Promise<RunStore>;
  /** A node has joined or left. */
  nodeSeen?(node: NodeRow): void;
  /** Zeros of the layout's length; its frozen slots are never moved. `differences`: there may be followers; what `top-k` keeps for them. */
  createShard(layout: ParameterLayout, optimizer: OptimizerSpec, differences?: TopKSpec): ParameterShard;
  /** `state`: goes on from there. Throws LongtailError `invalid-file` where it is of other data. */
  createLeases(job: Job, samplesPerEpoch: number, state?: LeaseBookState): LeaseBook;
  strategy(job: Job): SyncStrategy;
  /** What `sync: auto` stands for. */
  readonly chooseSync: ChooseSync;
  readonly shares: ShareRule;
  /** How a job is laid over its nodes. @default what the job says, else every worker solo */
  readonly layout?: AskLayout;
  /**
   * Orders of passes for pipelines whose workers hold `chunks` stages each; undefined for one that this server does not
   * have. `maxStash`: the stashes that each stage has room for, which the schedule keeps to where it can. @default none
   */
  schedule?(name: ScheduleName, options: { readonly chunks: number; readonly maxStash?: readonly number[] }): Schedule | undefined;
  /** Draws the secret of a direct link between two workers. @default everything between workers goes through the server */
  linkKey?(): string;
  /** Rate of step `step` (from 0) of `totalSteps`. */
  learningRate(schedule: LearningRateSchedule, baseRate: number, step: number, totalSteps: number): number;
}
