import { addTimes, type ExchangeTimes, type Job, type RunEvent, type StoredEvent, type Verdict } from '@longtail/core';

/** One worker as its events show it. */
export interface WorkerProgress {
  readonly node: string;
  readonly name: string;
  readonly engine: string;
  readonly throttle: number;
  readonly samplesPerSecond: number;
  /** Fraction of the last round's batch. */
  readonly share: number;
  /** That it takes between two exchanges at present; undefined where the server steps. */
  readonly localSteps: number | undefined;
  /** Samples that reached a commit. */
  readonly samples: number;
  /** Those of them that no other stage of its pipeline counts. */
  readonly ownSamples: number;
  readonly contributions: number;
  readonly rejected: number;
  readonly computeMs: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly bytesSaved: number;
  /** Sums over its contributions; undefined where none said. */
  readonly exchange: ExchangeTimes | undefined;
  readonly gone: string | undefined;
  /** Why it rests. */
  readonly paused: string | undefined;
}

type Phase = 'submitted' | 'waiting' | 'preparing' | 'training' | 'done';

/** What is known of a run after a number of its events: all that the views show. */
export interface RunProgress {
  readonly run: string;
  readonly job: Job | undefined;
  readonly phase: Phase;
  readonly waitingFor: string;
  /** Workers that time the model's blocks, by name: `3/8`. */
  readonly profiling: ReadonlyMap<string, string>;
  readonly submittedAtMs: number;
  readonly startedAtMs: number | undefined;
  /** Time of the latest event. */
  readonly timeMs: number;
  readonly parameters: number;
  readonly samplesTotal: number;
  /** Passes over the training data in all; a fraction where the job ends at a count of samples. */
  readonly epochsTotal: number;
  readonly samplesApplied: number;
  readonly epoch: number;
  readonly version: number;
  readonly loss: number | undefined;
  readonly accuracy: number | undefined;
  /** Of the latest commit, counted from 0; empty where all parameters are exchanged at once. */
  readonly fragments: readonly number[];
  /** Loss of the latest commits, oldest first. */
  readonly losses: readonly number[];
  /** Samples a second over the last few seconds. */
  readonly samplesPerSecond: number | undefined;
  /** What `sync: auto` chose, and why. */
  readonly sync: string | undefined;
  readonly validation: Extract<RunEvent, { event: 'validation' }> | undefined;
  readonly workers: ReadonlyMap<string, WorkerProgress>;
  /** Pipeline of a worker, by node. */
  readonly groups: ReadonlyMap<string, string>;
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly verdict: Verdict | undefined;
  /** Commits of the last seconds, for the rate. */
  readonly recent: readonly { readonly timeMs: number; readonly samplesApplied: number }[];
  /** What workers delivered since the last durable version but one: a server that is killed may undo it. */
  readonly undoable: Delivered | undefined;
  /** The event of the last durable version. */
  readonly durableSeq: number;
}

/** An accepted contribution, and those before it: a run may have a hundred of them a second, and hours between checkpoints. */
interface Delivered {
  readonly seq: number;
  readonly node: string;
  readonly samples: number;
  readonly ownSamples: number;
  before: Delivered | undefined;
}

/** The rate is taken over this much time: long enough to be steady, short enough to follow a worker that leaves. */
const RATE_WINDOW_MS = 10_000;
/** As many as a wide terminal can tell apart, times a few. */
const LOSSES_KEPT = 480;

export const NOTHING_YET: RunProgress = {
  run: '',
  job: undefined,
  phase: 'submitted',
  waitingFor: '',
  profiling: new Map(),
  submittedAtMs: 0,
  startedAtMs: undefined,
  timeMs: 0,
  parameters: 0,
  samplesTotal: 0,
  epochsTotal: 0,
  samplesApplied: 0,
  epoch: 0,
  version: 0,
  loss: undefined,
  accuracy: undefined,
  fragments: [],
  losses: [],
  samplesPerSecond: undefined,
  sync: undefined,
  validation: undefined,
  workers: new Map(),
  groups: new Map(),
  bytesUp: 0,
  bytesDown: 0,
  verdict: undefined,
  recent: [],
  undoable: undefined,
  durableSeq: 0,
};

/** The progress after one more event. */
export function advance(progress: RunProgress, stored: StoredEvent): RunProgress {
  return { ...progress, timeMs: stored.timeMs, ...changes(progress, stored) };
}

function changes(progress: RunProgress, { seq, timeMs, body: event }: StoredEvent): Partial<RunProgress> {
  switch (event.event) {
    case 'submitted':
      return { run: event.run, job: event.job, submittedAtMs: timeMs };
    case 'waiting':
      return { phase: 'waiting', waitingFor: event.reason };
    case 'node_joined':
      return {
        workers: withWorker(progress, event.node, { name: event.name, engine: event.engine, throttle: event.throttle, gone: undefined, paused: undefined }),
      };
    case 'node_left':
      return { workers: withWorker(progress, event.node, { name: event.name, gone: event.reason, share: 0 }) };
    case 'node_paused':
      return { workers: withWorker(progress, event.node, { name: event.name, paused: event.reason, share: 0 }) };
    case 'node_resumed':
      return { workers: withWorker(progress, event.node, { name: event.name, paused: undefined }) };
    case 'profiling':
      return { profiling: new Map(progress.profiling).set(event.name, `${event.done}/${event.total}`) };
    case 'profiled':
      return { profiling: new Map([...progress.profiling].filter(([name]) => name !== event.name)) };
    case 'worker_ready': {
      const { node, name, engine, samplesPerSecond } = event;
      const phase = progress.phase === 'submitted' || progress.phase === 'waiting' ? 'preparing' : progress.phase;
      return { phase, workers: withWorker(progress, node, { name, engine, samplesPerSecond, gone: undefined }) };
    }
    case 'started':
      return {
        phase: 'training',
        startedAtMs: timeMs,
        parameters: event.parameters,
        samplesTotal: event.samplesTotal,
        epochsTotal: event.samplesTotal / event.samplesPerEpoch,
        recent: [{ timeMs, samplesApplied: progress.samplesApplied }],
      };
    case 'shares':
      return { phase: progress.startedAtMs === undefined ? progress.phase : 'training', workers: withShares(progress, event) };
    case 'contribution':
      return afterContribution(progress, event, seq);
    case 'commit':
      return afterCommit(progress, event, timeMs);
    case 'resumed':
      return {
        phase: 'waiting',
        waitingFor: event.reason,
        samplesApplied: event.samplesApplied,
        version: event.version,
        recent: [],
        samplesPerSecond: undefined,
        verdict: undefined,
        ...withoutUndone(progress, event.stands),
      };
    case 'forked':
      return { samplesApplied: event.samplesApplied, version: event.from.version };
    case 'checkpoint':
      return { durableSeq: seq, undoable: deliveredAfter(progress.durableSeq, progress.undoable) };
    case 'validation':
      return { validation: event };
    case 'verdict':
      return { phase: 'done', verdict: event };
    case 'sync':
      return { sync: event.reason };
    case 'layout':
      return { groups: new Map(event.groups.flatMap(({ group, stages }) => stages.map(({ node }) => [node, group] as const))) };
    case 'link':
    case 'peer_links':
    case 'planned':
    case 'replan':
    case 'standby':
    case 'taken_over':
    case 'lease_returned':
    case 'samples_lost':
    case 'recording':
    case 'recording_stopped':
    case 'warning':
    case 'error':
      return {};
  }
}

const NEW_WORKER: Omit<WorkerProgress, 'node' | 'name'> = {
  engine: '',
  throttle: 1,
  samplesPerSecond: 0,
  share: 0,
  localSteps: undefined,
  samples: 0,
  ownSamples: 0,
  contributions: 0,
  rejected: 0,
  computeMs: 0,
  bytesUp: 0,
  bytesDown: 0,
  bytesSaved: 0,
  exchange: undefined,
  gone: undefined,
  paused: undefined,
};

function withWorker(progress: RunProgress, node: string, change: Partial<WorkerProgress>): ReadonlyMap<string, WorkerProgress> {
  const before = progress.workers.get(node) ?? { ...NEW_WORKER, node, name: node };
  return new Map(progress.workers).set(node, { ...before, ...change });
}

/** A pipeline's share is that of each of its stages. */
function withShares(
  { workers, groups }: RunProgress,
  { shares, unit }: Extract<RunEvent, { event: 'shares' }>,
): ReadonlyMap<string, WorkerProgress> {
  const total = Object.values(shares).reduce((sum, share) => sum + share, 0) || 1;
  const after = (node: string): Partial<WorkerProgress> => {
    const share = shares[groups.get(node) ?? node] ?? 0;
    return { share: share / total, localSteps: unit === 'local steps' ? share : undefined };
  };
  return new Map([...workers].map(([node, worker]) => [node, { ...worker, ...after(node) }]));
}

function afterContribution(progress: RunProgress, event: Extract<RunEvent, { event: 'contribution' }>, seq: number): Partial<RunProgress> {
  const { node } = event;
  const before = progress.workers.get(node);
  const seconds = event.computeMs / 1000;
  const samples = event.accepted ? event.samples : 0;
  const ownSamples = (event.stage?.stage ?? 0) === 0 ? samples : 0;
  return {
    undoable: samples === 0 ? progress.undoable : { seq, node, samples, ownSamples, before: progress.undoable },
    bytesUp: progress.bytesUp + event.bytesUp,
    bytesDown: progress.bytesDown + event.bytesDown,
    workers: withWorker(progress, node, {
      name: event.name,
      samples: (before?.samples ?? 0) + samples,
      ownSamples: (before?.ownSamples ?? 0) + ownSamples,
      contributions: (before?.contributions ?? 0) + 1,
      rejected: (before?.rejected ?? 0) + (event.accepted ? 0 : 1),
      computeMs: (before?.computeMs ?? 0) + event.computeMs,
      bytesUp: (before?.bytesUp ?? 0) + event.bytesUp,
      bytesDown: (before?.bytesDown ?? 0) + event.bytesDown,
      bytesSaved: (before?.bytesSaved ?? 0) + (event.bytesSaved ?? 0),
      exchange: addedTimes(before?.exchange, event.exchange),
      // A running mean: one slow round says little.
      samplesPerSecond: smooth(before?.samplesPerSecond ?? 0, seconds > 0 ? event.samples / seconds : 0),
    }),
  };
}

/** The time and the bytes that went into what is undone were spent all the same. */
function withoutUndone({ workers, undoable }: RunProgress, stands: number): Pick<RunProgress, 'workers' | 'undoable'> {
  const standing = new Map(workers);
  let last = undoable;
  for (; last !== undefined && last.seq > stands; last = last.before) {
    const worker = standing.get(last.node)!;
    standing.set(last.node, { ...worker, samples: worker.samples - last.samples, ownSamples: worker.ownSamples - last.ownSamples });
  }
  return { workers: standing, undoable: last };
}

/** What was delivered after an event; lets go of what was before, also for a progress of earlier. */
function deliveredAfter(seq: number, last: Delivered | undefined): Delivered | undefined {
  if (last === undefined || last.seq <= seq) return undefined;
  let first = last;
  while (first.before !== undefined && first.before.seq > seq) first = first.before;
  first.before = undefined;
  return last;
}

function addedTimes(before: ExchangeTimes | undefined, more: ExchangeTimes | undefined): ExchangeTimes | undefined {
  return before === undefined || more === undefined ? (before ?? more) : addTimes(before, more);
}

function smooth(before: number, now: number): number {
  if (before === 0 || now === 0) return now || before;
  return 0.8 * before + 0.2 * now;
}

/** A loss that is not finite crosses JSON as null. */
function afterCommit(progress: RunProgress, event: Extract<RunEvent, { event: 'commit' }>, timeMs: number): Partial<RunProgress> {
  const recent = [...progress.recent, { timeMs, samplesApplied: event.samplesApplied }].filter(
    (commit) => commit.timeMs >= timeMs - RATE_WINDOW_MS,
  );
  const { version, fragments = [] } = event;
  // The end of a phase brings moves home that are of samples applied before.
  if (event.samples === 0) return { version, fragments };
  const first = recent[0]!;
  const elapsed = (timeMs - first.timeMs) / 1000;
  return {
    version,
    fragments,
    samplesApplied: event.samplesApplied,
    epoch: event.epoch,
    loss: event.loss ?? NaN,
    accuracy: event.accuracy,
    losses: [...progress.losses.slice(1 - LOSSES_KEPT), event.loss ?? NaN],
    recent,
    samplesPerSecond: elapsed > 0 ? (event.samplesApplied - first.samplesApplied) / elapsed : event.samplesPerSecond,
  };
}

/** `profiling a 3/8, b 5/8`; undefined when nobody does. */
export function profilingLine({ profiling }: RunProgress): string | undefined {
  return profiling.size === 0 ? undefined : `profiling ${[...profiling].map(([name, done]) => `${name} ${done}`).join(', ')}`;
}

/** The workers in the order of their names, `worker-10` after `worker-9`. */
export function workersByName(progress: RunProgress): readonly WorkerProgress[] {
  return [...progress.workers.values()].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

/** `fragment 2`, or several; counted from 1. */
export function showFragments({ fragments }: RunProgress): string {
  return `${fragments.length === 1 ? 'fragment' : 'fragments'} ${fragments.map((fragment) => fragment + 1).join(', ')}`;
}

/** Fraction of the run's samples that were applied. */
export function fractionDone(progress: RunProgress): number {
  return progress.samplesTotal > 0 ? Math.min(1, progress.samplesApplied / progress.samplesTotal) : 0;
}

/** Seconds to the end at the present rate. */
export function secondsLeft(progress: RunProgress): number | undefined {
  if (!progress.samplesPerSecond || progress.samplesTotal === 0) return undefined;
  return (progress.samplesTotal - progress.samplesApplied) / progress.samplesPerSecond;
}
