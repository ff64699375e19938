import type { CodecName, CodingTime } from './codec.js';
import type { Job, StrategyName } from './job.js';
import type { MeasuredLink } from './plan.js';

/** A task in the hands of a group, as it stands when it is looked at. Times are `Clock.nowMs`. */
export interface TaskState {
  /** Its number. */
  readonly round: number;
  /** Samples asked of it. */
  readonly samples: number;
  /** When it was given, and what the group was given before was done. */
  readonly startedAtMs: number;
  /** Parameters were sent for it: who has them already is done sooner. */
  readonly receives: boolean;
  /** Expected time from task to delivery; undefined before anything was measured. */
  readonly expectedMs: number | undefined;
  /** When the contribution was whole and verified; undefined while it is out. */
  readonly deliveredAtMs: number | undefined;
  /** Version that the contribution is based on. */
  readonly baseVersion: number;
  /** It was called home: its local steps end with the one under way. */
  readonly recalled: boolean;
}

/** A group as a strategy sees it: as it stands when it is looked at. */
export interface GroupState {
  /** The group's id; that of a solo worker is its node's. */
  readonly node: string;
  /** Tasks of it that were committed or given up since the groups changed last: its clock. */
  readonly rounds: number;
  /** The oldest one that is open; undefined: it has nothing to do. */
  readonly task: TaskState | undefined;
  /** Tasks that were given after it and are open too. */
  readonly queued: number;
}

export interface RoundState {
  readonly round: number;
  readonly version: number;
  /** Samples of one task of every group together: of gradients a batch, of local steps what all do in a round's time. */
  readonly roundSamples: number;
  /** In the order in which contributions are added: all that take part; of a strategy that decides about each `apart` those that may stand otherwise than when it looked last. */
  readonly members: readonly GroupState[];
  /** Of all that take part. @default the members */
  readonly fleet?: FleetState;
}

/** How all groups stand that take part in a run. */
export interface FleetState {
  readonly groups: number;
  /** Of the one whose clock is furthest behind. */
  readonly leastRounds: number;
  /** Lower median of what their tasks are expected to take, as it was not long ago; undefined before anything was measured. */
  readonly usualMs: number | undefined;
}

/** What to do now, and why. */
export interface Decision {
  /** Contributions to commit now as one step, in this order, each at its weight; empty: nothing yet. */
  readonly commit: readonly { readonly node: string; readonly weight: number }[];
  /** Multiplies the learning rate of that step: it is below 1 where the step is part of a round or batch, or of stale contributions. */
  readonly stepScale: number;
  /** Groups no longer waited for: their leases go back. `late`: the others were enough; it counts as no miss. */
  readonly release: readonly { readonly node: string; readonly reason: string; readonly late: boolean }[];
  /** Groups whose local steps are to end with the one under way, and be delivered. */
  readonly recall: readonly string[];
  /** Groups that may be given their next task. */
  readonly proceed: readonly string[];
  /** Ask again at this time at the latest; undefined: when something arrives. */
  readonly wakeAtMs: number | undefined;
  /** Until so many more have delivered nothing else would be decided, unless a task fails, a group comes or goes, or it is that time. @default 1 */
  readonly needs?: number;
  readonly reason: string;
}

/** How long a group takes, as it was measured. */
export interface GroupPace {
  readonly node: string;
  /** Of one inner step. */
  readonly stepMs: number;
  /** Parameters down and contribution up; undefined before the first delivery. */
  readonly exchangeMs: number | undefined;
}

/** Inner steps that each group takes in its next task, of overlapped exchanges on average, and why so many. `inAll`: of all groups in the whole run. @default no end */
export type LocalStepRule = (groups: readonly GroupPace[], inAll?: number) => { readonly steps: ReadonlyMap<string, number>; readonly reason: string };

/** A synchronisation strategy: pure, so that the same object runs live and simulated. */
export interface SyncStrategy {
  readonly name: string;
  /**
   * Groups step for themselves, and a contribution is how far their parameters moved, for the outer optimizer; undefined:
   * it is a gradient sum, for the job's optimizer at the server.
   */
  readonly localSteps: LocalStepRule | undefined;
  /** Who has a share of a batch begins it with all others, and it ends with the last one of them. @default false */
  readonly together?: boolean;
  /**
   * Parts of the parameters that are exchanged in turn, one a round, while the groups step on; undefined: all of them at once,
   * between a group's tasks.
   */
  readonly fragments?: number;
  /**
   * A group is decided about by itself: a look is at those alone that something happened to, or whose time is up, and `wakeAtMs` is theirs.
   * Who has no task and may not proceed is looked at again when `leastRounds` has changed.
   * @default false
   */
  readonly apart?: boolean;
  /** What it decides, and why, holds what it is to hold: the members stand otherwise when it is carried out. */
  decide(round: RoundState, nowMs: number): Decision;
}

/** What `sync: auto` knows of a group. */
export interface SyncGroup {
  /** The group's id. */
  readonly node: string;
  readonly msPerSample: number;
  /** Of its workers. */
  readonly links: readonly SyncLink[];
}

/** A worker's way to the server. */
export interface SyncLink extends MeasuredLink {
  readonly name: string;
  /** Parameters that the worker exchanges over it. */
  readonly values: number;
  /** Whether it has room for an optimizer of its own. @default true */
  readonly mayStep?: boolean;
}

/** Who trains, as it was measured. */
export interface SyncFleet {
  readonly groups: readonly SyncGroup[];
  /** The server's own link, shared by all; undefined: never the bottleneck. */
  readonly server?: { readonly upBitsPerSecond: number; readonly downBitsPerSecond: number };
  /** What coding takes server and workers, each on one core; undefined: no time, as on virtual clocks. */
  readonly coding?: Readonly<Partial<Record<CodecName, CodingTime>>>;
}

/** How a worker's exchange stands beside what is computed meanwhile, or between two exchanges. */
export interface SyncExchange {
  readonly name: string;
  readonly upMs: number;
  readonly downMs: number;
  /** As often as the exchange takes it. */
  readonly roundTripMs: number;
  /** At both ends, in both directions. */
  readonly codingMs: number;
  /** It costs no more of a round than it may. */
  readonly hidden: boolean;
}

/** What `sync: auto` chose, and by which arithmetic. */
export interface SyncChoice {
  readonly strategy: StrategyName;
  /** Undefined: the server steps. */
  readonly localSteps?: number;
  /** Samples of each of them: the job's batch, split over the groups. */
  readonly localBatch?: number;
  /** Parts of the parameters that travel in turn while groups step on; undefined: they wait for an exchange. */
  readonly fragments?: number;
  readonly codec: CodecName;
  readonly downCodec: CodecName;
  /** What is computed between two exchanges: all groups together a step, or the fastest its local steps. */
  readonly computeMs: number;
  /** In the order of the groups and their links. */
  readonly exchanges: readonly SyncExchange[];
  readonly reason: string;
}

/** Pure. `standing`: what was chosen last, which stays until another choice is clearly better; its optimizer at the server stays in any case. */
export type ChooseSync = (job: Job, fleet: SyncFleet, standing?: SyncChoice) => SyncChoice;

/** What a scheduler of samples knows of a worker: n samples take it `fixedMs + n · msPerSample`, none nothing. */
export interface WorkerTime {
  readonly node: string;
  readonly fixedMs: number;
  readonly msPerSample: number;
}

/** Splits the next batch over workers. */
export interface ShareRule {
  /**
   * Shares sum to `batch`; a share may be 0. `sharedMs`: by so much each worker that has a share makes the round longer for all of them,
   * as they exchange over one line. @default 0
   */
  (batch: number, workers: readonly WorkerTime[], previous: ReadonlyMap<string, number>, sharedMs?: number): ReadonlyMap<string, number>;
  /** Shares are the same whatever is measured: there is nothing to find out. @default false */
  readonly fixed?: boolean;
}
