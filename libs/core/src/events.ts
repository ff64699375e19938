import type { BlockTiming } from './compute.js';
import type { WireError } from './errors.js';
import type { Job } from './job.js';
import type { MeasuredLink, MeasuredPeerLink, Plan } from './plan.js';
import type { SyncChoice } from './sync.js';

/**
 * What happened in a run: the only source for progress, report, metrics and replay. Append-only.
 * JSON lines on disk and on the wire; times are milliseconds since the epoch, durations milliseconds.
 */
export type RunEvent =
  | { readonly event: 'submitted'; readonly run: string; readonly job: Job; readonly protocol: number }
  | {
      readonly event: 'waiting';
      readonly run: string;
      readonly have: number;
      readonly need: number;
      /** No plan fits those who are here: what is missing, and the ways out. Part of the reason. */
      readonly shortfall?: string;
      readonly reason: string;
    }
  | {
      readonly event: 'node_joined';
      readonly node: string;
      readonly name: string;
      readonly engine: string;
      readonly device: string;
      readonly throttle: number;
    }
  /** The link between a node and the server was measured. */
  | ({ readonly event: 'link'; readonly node: string; readonly name: string } & MeasuredLink)
  | { readonly event: 'node_left'; readonly node: string; readonly name: string; readonly reason: string }
  /** It takes no work, by its owner's will or a client's, and stays connected; what it held is finished or handed back. */
  | { readonly event: 'node_paused'; readonly node: string; readonly name: string; readonly reason: string }
  | { readonly event: 'node_resumed'; readonly node: string; readonly name: string }
  | {
      readonly event: 'worker_ready';
      readonly run: string;
      readonly node: string;
      readonly name: string;
      readonly engine: string;
      readonly samplesPerSecond: number;
      readonly parameters: number;
      /** What the model takes there. */
      readonly memoryBytes: number;
    }
  /** Before a job is laid out by what its blocks take: how far a worker is with measuring them. */
  | { readonly event: 'profiling'; readonly run: string; readonly node: string; readonly name: string; readonly done: number; readonly total: number }
  | {
      readonly event: 'profiled';
      readonly run: string;
      readonly node: string;
      readonly name: string;
      readonly blocks: readonly BlockTiming[];
      /** Blocks of the model for which it does not offer the memory. @default 0 */
      readonly untimed?: number;
      readonly handOverMs: number;
      /** Nothing was measured now: all of it was known. */
      readonly cached: boolean;
      /** From the question to the answer. */
      readonly ms: number;
    }
  /** Direct links between workers, measured for the same purpose; or one of which training found, in no time of its own, that it is not what it was. */
  | { readonly event: 'peer_links'; readonly run: string; readonly links: readonly MeasuredPeerLink[]; readonly ms: number }
  /**
   * The run goes on from its last durable version. What came after event `stands` is undone, as far as it is of commits,
   * contributions and validations: the samples are leased again (`standingEvents`).
   */
  | {
      readonly event: 'resumed';
      readonly run: string;
      /** 0: fresh parameters. */
      readonly version: number;
      readonly samplesApplied: number;
      readonly stands: number;
      readonly undone: { readonly commits: number; readonly samples: number };
      readonly reason: string;
    }
  /** How the server's standby stands to the run; while it is in step, a commit is told to nobody before the standby holds it. */
  | {
      readonly event: 'standby';
      readonly run: string;
      readonly address: string;
      readonly state: 'in step' | 'behind' | 'gone';
      readonly version: number;
      readonly reason: string;
    }
  /** The standby is the server from here on. */
  | {
      readonly event: 'taken_over';
      readonly run: string;
      /** Of the server that it was a standby of, and its own. */
      readonly from: string;
      readonly address: string;
      readonly epoch: number;
      readonly version: number;
      /** Since it last heard of that server. */
      readonly silentMs: number;
      /** Rounds whose commits the log has and the standby had not; `resumed` undoes them. */
      readonly roundsLost: number;
      readonly reason: string;
    }
  /** The run began with the parameters of another one. */
  | {
      readonly event: 'forked';
      readonly run: string;
      readonly from: { readonly run: string; readonly version: number };
      /** Of its own job, which go on where the other one's version was; 0: its data begin anew. */
      readonly samplesApplied: number;
    }
  | {
      readonly event: 'started';
      readonly run: string;
      readonly parameters: number;
      readonly samplesPerEpoch: number;
      readonly samplesTotal: number;
      readonly workers: number;
    }
  /** What is expected of the layout from now on; its devices are nodes. */
  | { readonly event: 'planned'; readonly run: string; readonly plan: Plan }
  /** How the job is laid over its workers from now on; only where it is more than everybody solo. */
  | {
      readonly event: 'layout';
      readonly run: string;
      readonly groups: readonly {
        readonly group: string;
        readonly schedule: string;
        readonly microbatch: number;
        readonly stages: readonly { readonly node: string; readonly name: string; readonly start: number; readonly end: number }[];
      }[];
      /** Nodes that wait for somebody to fail. */
      readonly spares: readonly string[];
      readonly reason: string;
    }
  /** What `sync: auto` chose, from here on. */
  | ({ readonly event: 'sync'; readonly run: string } & SyncChoice)
  /** A device left, joined, or is not as fast as it was: whether groups move, and why. */
  | {
      readonly event: 'replan';
      readonly run: string;
      readonly moves: boolean;
      readonly reason: string;
      readonly movingBytes: number;
      readonly movingMs: number;
    }
  /** One worker's part of a round, as it was delivered (or why not). */
  | {
      readonly event: 'contribution';
      readonly run: string;
      readonly round: number;
      readonly node: string;
      readonly name: string;
      readonly samples: number;
      readonly accepted: boolean;
      readonly weight: number;
      readonly staleness: number;
      readonly reason: string;
      readonly computeMs: number;
      /** Since its parameters were there: compute, and in a pipeline the waits for other stages; 0 when it never was done. */
      readonly elapsedMs: number;
      /** When its task was sent, when it was back: for the timeline. */
      readonly sentAtMs: number;
      readonly doneAtMs: number;
      /** Sent and received by the worker since its last one: to and from the server, and over direct links. */
      readonly bytesUp: number;
      readonly bytesDown: number;
      /** Where the worker's time went beside computing; undefined where it never was done. */
      readonly exchange?: ExchangeTimes;
      /** What float32 would have taken more than the codec did. */
      readonly bytesSaved?: number;
      /** That it brought home, where fragments are exchanged in turn. */
      readonly fragments?: readonly number[];
      /**
       * In a pipeline each worker has an event with the samples that passed through it: whoever adds samples up counts
       * stage 0. `stage` is the first one that it holds; `held` how many, 1 by default.
       */
      readonly stage?: { readonly group: string; readonly stage: number; readonly stages: number; readonly held?: number };
    }
  | {
      readonly event: 'commit';
      readonly run: string;
      readonly round: number;
      readonly version: number;
      readonly samples: number;
      readonly samplesApplied: number;
      readonly epoch: number;
      readonly loss: number;
      readonly accuracy: number;
      readonly learningRate: number;
      /** Of the learning rate, what the step is scaled by: a part of a round, or of stale contributions. @default 1 */
      readonly stepScale?: number;
      /** Of the mean gradient, before clipping; 0 where nobody measured it (local steps, very large models without clipNorm). */
      readonly gradientNorm: number;
      readonly roundMs: number;
      readonly samplesPerSecond: number;
      readonly reason: string;
      /** Of the parameters, where they are exchanged in turn: each makes a version. Those of the end of a phase come without samples. */
      readonly fragments?: readonly number[];
      /** Optimizer steps of the only worker, whose parameters and moments became the version. */
      readonly soloSteps?: number;
      /** Of a recorded run: CRC-32C of the parameters as they are now, one for each segment that changed. */
      readonly checksums?: readonly number[];
    }
  | {
      readonly event: 'shares';
      readonly run: string;
      readonly round: number;
      readonly shares: Readonly<Record<string, number>>;
      /** What a share counts. @default samples of the batch */
      readonly unit?: 'local steps';
      readonly reason: string;
    }
  | { readonly event: 'lease_returned'; readonly run: string; readonly node: string; readonly samples: number; readonly reason: string }
  /** Of accepted contributions: they are in some fragments of the parameters, and will not be in the others. `node` is empty where the server ended. */
  | { readonly event: 'samples_lost'; readonly run: string; readonly node: string; readonly samples: number; readonly reason: string }
  | {
      readonly event: 'validation';
      readonly run: string;
      readonly version: number;
      readonly epoch: number;
      readonly samples: number;
      readonly loss: number;
      readonly accuracy: number;
      readonly ms: number;
    }
  | { readonly event: 'checkpoint'; readonly run: string; readonly version: number; readonly path: string; readonly bytes: number; readonly ms: number }
  /** From this version on all contributions are kept (`longtail replay`). */
  | { readonly event: 'recording'; readonly run: string; readonly version: number; readonly neededBytes: number; readonly maxBytes: number }
  /** What comes after this version is not kept; the run goes on. */
  | { readonly event: 'recording_stopped'; readonly run: string; readonly version: number; readonly reason: string }
  | { readonly event: 'warning'; readonly run: string; readonly message: string; readonly hint: string }
  | { readonly event: 'error'; readonly run: string; readonly node: string; readonly error: WireError }
  | Verdict;

/** Of one contribution. */
export interface ExchangeTimes {
  /** From the task to its parameters being there. */
  readonly receiveMs: number;
  /** Coding the contribution before this one, while it is sent. */
  readonly encodeMs: number;
  /** From the end of computing to the server having it all. */
  readonly sendMs: number;
  /** The part of it in which the worker was at its next task; undefined: none. */
  readonly hiddenMs?: number;
  /** Before its task, since its last contribution: for other workers, commits and validations. */
  readonly waitMs: number;
}

/** The last event of every run. */
export interface Verdict {
  readonly event: 'verdict';
  readonly status: 'succeeded' | 'failed' | 'cancelled';
  readonly run: string;
  readonly job: string;
  /** Engines that computed, joined by `+`. */
  readonly engine: string;
  readonly metrics: { readonly validation_loss: number | null; readonly validation_accuracy: number | null; readonly train_loss: number | null };
  readonly samples: { readonly applied: number; readonly lost: number };
  /** From launch to verdict. */
  readonly seconds: number;
  /** To and from the server; and what workers sent each other over direct links, which takes their uplinks too. */
  readonly bytes: { readonly up: number; readonly down: number; readonly direct: number };
  /** Path of model.safetensors; empty when there is none. */
  readonly model: string;
  readonly reason: string;
  readonly error?: WireError;
}

export type RunEventName = RunEvent['event'];

export interface StoredEvent {
  /** 1, 2, 3, … within a run. */
  readonly seq: number;
  readonly timeMs: number;
  readonly body: RunEvent;
}

/** Events without those that a later `resumed` undid. */
export function standingEvents(events: readonly StoredEvent[]): readonly StoredEvent[] {
  let standing: StoredEvent[] = [];
  for (const stored of events) {
    const { body } = stored;
    if (body.event === 'resumed') standing = standing.filter(({ seq, body: { event } }) => seq <= body.stands || !UNDONE.has(event));
    standing.push(stored);
  }
  return standing;
}

const UNDONE: ReadonlySet<RunEventName> = new Set(['commit', 'contribution', 'samples_lost', 'validation']);

export interface EventLog {
  /** Durable order is the order of the calls. Throws LongtailError `storage` when it cannot be written. */
  append(event: RunEvent): StoredEvent;
  /** Events from `fromSeq` on, then live ones until the log is closed or the signal aborts. */
  read(fromSeq: number, signal: AbortSignal): AsyncIterable<StoredEvent>;
  /** Resolves when all that was appended survives a power cut. LongtailError `storage`. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
