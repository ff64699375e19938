/** A group's standing in the round that is open. Times are `Clock.nowMs`. */
export interface MemberState {
  /** The group's id; that of a solo worker is its node's. */
  readonly node: string;
  /** Samples asked of it in this round. */
  readonly samples: number;
  readonly startedAtMs: number;
  /** Expected time from task to delivery; undefined before anything was measured. */
  readonly expectedMs: number | undefined;
  /** When its contribution was whole and verified; undefined while it is out. */
  readonly deliveredAtMs: number | undefined;
  /** Version its contribution is based on. */
  readonly baseVersion: number;
}

export interface RoundState {
  readonly round: number;
  readonly version: number;
  readonly openedAtMs: number;
  readonly members: readonly MemberState[];
}

/** What to do with the open round now, and why. */
export interface Decision {
  /** Contributions to commit now, in this order, each at its weight; empty: nothing yet. */
  readonly commit: readonly { readonly node: string; readonly weight: number }[];
  /** Members no longer waited for: their leases go back. */
  readonly release: readonly { readonly node: string; readonly reason: string }[];
  /** Ask again at this time at the latest; undefined: when something arrives. */
  readonly wakeAtMs: number | undefined;
  readonly reason: string;
}

/** A synchronisation strategy: pure, so that the same object runs live and simulated. */
export interface SyncStrategy {
  readonly name: string;
  decide(round: RoundState, nowMs: number): Decision;
}

/** What a scheduler of samples knows of a worker. */
export interface WorkerSpeed {
  readonly node: string;
  /** Samples a second, smoothed over what it delivered. */
  readonly samplesPerSecond: number;
}

/** Splits the next batch over workers. Shares sum to `batch`; a share may be 0. */
export type ShareRule = (batch: number, workers: readonly WorkerSpeed[], previous: ReadonlyMap<string, number>) => ReadonlyMap<string, number>;
