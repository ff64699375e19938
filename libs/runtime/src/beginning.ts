import {
  freshState,
  isStateQuantized,
  layoutSignature,
  LongtailError,
  serverOptimizer,
  standingEvents,
  type Job,
  type RunEvent,
  type StoredEvent,
} from '@longtail/core';
import { PROTOCOL_VERSION } from '@longtail/protocol';
import { fillShard } from './fill-shard.js';
import { beginTraining } from './initialise.js';
import type { Resumption, RunSnapshot } from './ports.js';
import type { RunCore } from './run-core.js';

/** How a run begins: anew, where an earlier server left it, or with the parameters of another run. */
export interface Beginning {
  /** The first ones that it logs. */
  readonly events: readonly RunEvent[];
  /** Undefined: with fresh parameters. */
  readonly snapshot?: RunSnapshot;
  /** Its log so far. @default empty */
  readonly past?: readonly StoredEvent[];
  /** The snapshot is on no disk. @default it is */
  readonly volatile?: boolean;
}

export function launched(run: string, job: Job): Beginning {
  return { events: [{ event: 'submitted', run, job, protocol: PROTOCOL_VERSION }] };
}

export function resumed({ store: { run }, job, snapshot, past, reason, succession }: Resumption): Beginning {
  const version = snapshot?.version ?? 0;
  const { stands, undone } = rollBack(past, version);
  const event = { event: 'resumed', run, version, samplesApplied: snapshot?.leases.applied ?? 0, stands, undone, reason } as const;
  // Half-applied leases count as lost in a snapshot, whether their groups were lost or the server.
  const reported = standingEvents(past).reduce((sum, { seq, body }) => sum + (body.event === 'samples_lost' && seq <= stands ? body.samples : 0), 0);
  const samples = (snapshot?.leases.lost ?? 0) - reported;
  const lost = lostBefore(run, samples, 'the server ended before all of it was sent');
  const begun = past.length === 0 ? launched(run, job).events : [];
  const taken = succession && ({ event: 'taken_over', run, version, roundsLost: undone.commits, reason, ...succession } as const);
  return { events: [...begun, ...(taken === undefined ? [] : [taken]), event, ...lost], snapshot, past, volatile: succession !== undefined };
}

/** Of a lease book that a run begins with; its log says nothing of them yet. */
function lostBefore(run: string, samples: number, reason: string): readonly RunEvent[] {
  return samples > 0 ? [{ event: 'samples_lost', run, node: '', samples, reason }] : [];
}

/** `snapshot` is of the run already (`forkSnapshot`). */
export function forked(from: RunSnapshot, snapshot: RunSnapshot): Beginning {
  const { run, job, version, leases } = snapshot;
  const event = { event: 'forked', run, from: { run: from.run, version }, samplesApplied: leases.applied } as const;
  return { events: [...launched(run, job).events, event, ...lostBefore(run, leases.lost, `run ${from.run} had lost them`)], snapshot };
}

/**
 * Commits after the durable version are undone: their samples were applied to parameters that are gone. `stands` is the
 * last event before them; 0 where none stands.
 */
export function rollBack(past: readonly StoredEvent[], version: number): Pick<Extract<RunEvent, { event: 'resumed' }>, 'stands' | 'undone'> {
  let stands = 0;
  const undone = { commits: 0, samples: 0 };
  for (const { seq, body } of standingEvents(past)) {
    if (body.event !== 'commit') continue;
    if (body.version <= version) stands = seq;
    else {
      undone.commits++;
      undone.samples += body.samples;
    }
  }
  return { stands, undone };
}

/** What a run of `job` begins with that goes on from a version of another one with the same model and data. Vectors are shared. */
export function forkSnapshot(from: RunSnapshot, run: string, job: Job): RunSnapshot {
  const own = asItRuns(job, from);
  const [before, after] = [serverOptimizer(from.job), serverOptimizer(own)];
  const state = freshState(after, 0);
  const fits = before.type === after.type && isStateQuantized(before) === isStateQuantized(after) && state.length === from.state.length;
  return {
    ...from,
    run,
    job: own,
    leases: { ...from.leases, epochs: job.train.epochs },
    ...(fits ? {} : { state: freshState(after, from.parameters.length), steps: 0 }),
  };
}

/** What `sync: auto` stood for stays until it is looked at again. */
function asItRuns(job: Job, { job: before }: RunSnapshot): Job {
  return job.sync.strategy === 'auto' && before.sync.strategy !== 'auto' ? { ...job, sync: before.sync } : job;
}

/** Brings a run to where its snapshot was taken. Throws LongtailError `invalid-file` for one that does not fit the job. */
export function restore(core: RunCore, snapshot: RunSnapshot): void {
  const { layout, state, version, leases, validationSamples, blocks, metrics } = snapshot;
  if (core.auto.isAsked) core.auto.restore(asItRuns(core.job, snapshot));
  const { samplesPerEpoch: trainSamples } = leases;
  core.roster.measure = { name: `version ${version}`, layout, signature: layoutSignature(layout), blocks, trainSamples, validationSamples };
  core.version = version;
  Object.assign(core.record.metrics, metrics);
  const book = core.dependencies.createLeases(core.job, trainSamples, leases);
  const { shard } = beginTraining(core, { layout, leases: book, trainSamples, validationSamples });
  if (state.length !== freshState(serverOptimizer(core.job), 0).length) {
    throw new LongtailError(`the state of version ${version} is of another optimizer`, { code: 'invalid-file', where: `run ${core.run}` });
  }
  fillShard(shard, snapshot);
}

/** Takes over what a run's log says beside its snapshot. Returns the nodes that took part when it broke off. */
export function recall(core: RunCore, past: readonly StoredEvent[]): ReadonlySet<string> {
  const nodes = new Set<string>();
  core.submittedAtMs = past[0]?.timeMs ?? core.submittedAtMs;
  for (const { body } of past) {
    if (body.event === 'contribution' || body.event === 'commit' || body.event === 'shares') core.round = Math.max(core.round, body.round);
    if (body.event === 'worker_ready') {
      nodes.add(body.node);
      core.roster.engines.add(body.engine);
    } else if (body.event === 'node_left' || body.event === 'node_paused') nodes.delete(body.node);
    else if (body.event === 'verdict') nodes.clear();
  }
  return nodes;
}
