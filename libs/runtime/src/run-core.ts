import {
  LongtailError,
  type Clock,
  type Codec,
  type Job,
  type Lease,
  type LeaseBook,
  type ParameterLayout,
  type ParameterShard,
  type RunEvent,
} from '@longtail/core';
import type { Progress, Task } from '@longtail/protocol';
import { Assignment } from './assignment.js';
import { Bell } from './bell.js';
import { Delivery, type ExpectedTensor } from './delivery.js';
import { BufferPool } from './encoded-tensor.js';
import { gridOf, type Grid } from './grid.js';
import { LearningRecord, type CommitSums } from './learning-record.js';
import type { Member, MemberHost } from './member.js';
import { OutgoingParameters, type Published } from './outgoing-parameters.js';
import type { RunStore, ServedFile, ServerDependencies } from './ports.js';
import { Roster } from './roster.js';

/** What exists once the first worker has sent fresh parameters. */
export interface Training {
  readonly layout: ParameterLayout;
  readonly shard: ParameterShard;
  readonly leases: LeaseBook;
  readonly grid: Grid;
  readonly samplesPerEpoch: number;
  /** Those that the job wants evaluated. */
  readonly validationSamples: number;
}

/** A run's tasks differ in these; the rest follows from the run. */
export type TaskFields = Pick<Task, 'kind'> & Partial<Pick<Task, 'ranges' | 'steps' | 'optimizerSteps' | 'start' | 'end' | 'version'>>;

/** What happens to a task's samples and why. */
export interface Settlement {
  /** Leases, from the first, that are part of a commit; the others go back. */
  readonly applied: number;
  readonly weight: number;
  readonly reason: string;
}

/** Contributions whose buffers are kept for the next round; more workers than that allocate theirs anew. */
const SPARE_RECEIVE_BUFFERS = 16;
const NEVER = new AbortController();

/**
 * The state of a run that its phases share, and the moves on it: hand out a task, settle it, say what happened. Phases
 * (round, solo, evaluation) run one after the other; handlers of messages only mark and ring.
 */
export class RunCore implements MemberHost {
  readonly clock: Clock;
  readonly roster: Roster;
  readonly record = new LearningRecord();
  readonly outgoing: OutgoingParameters;
  readonly submittedAtMs: number;
  training: Training | undefined;
  version = 0;
  round = 0;
  previousShares: ReadonlyMap<string, number> = new Map();
  private readonly bell = new Bell();
  private readonly stopping = new AbortController();
  private readonly receiveBuffers = new BufferPool(SPARE_RECEIVE_BUFFERS);
  private tasks = 0;

  constructor(
    readonly job: Job,
    readonly store: RunStore,
    readonly files: readonly ServedFile[],
    readonly dependencies: ServerDependencies,
    readonly chunkLength: number,
    /** A node that the run released is free for others. */
    readonly freed: () => void,
  ) {
    this.clock = dependencies.clock;
    this.submittedAtMs = this.clock.nowMs();
    this.outgoing = new OutgoingParameters(() => this.turn(), dependencies.allocate);
    this.roster = new Roster(this);
  }

  get run(): string {
    return this.store.run;
  }
  /** Aborts when the run is cancelled or has failed; the reason is a LongtailError. */
  get signal(): AbortSignal {
    return this.stopping.signal;
  }
  /** Members that take part, in the order in which they joined. */
  get ready(): readonly Member[] {
    return this.roster.ready;
  }
  /** Codec of gradients up and parameters down. */
  get codec(): Codec {
    return this.codecNamed(this.job.sync.codec);
  }

  codecNamed(name: Codec['name']): Codec {
    const codec = this.dependencies.codecs.find((candidate) => candidate.name === name);
    if (codec === undefined) throw new Error(`no codec ${name}`);
    return codec;
  }

  grid(length: number): Grid {
    return gridOf(length, this.chunkLength);
  }

  // ---- waiting and saying

  changed(): void {
    this.bell.ring();
  }

  /** Until something changed, or the time; rejects once the run is to stop. */
  wait(untilMs?: number): Promise<void> {
    return this.bell.wait(untilMs, this.clock, this.signal);
  }

  /** Like `wait`, but a run that stops only wakes it. */
  waitThrough(untilMs?: number): Promise<void> {
    return this.bell.wait(untilMs, this.clock, NEVER.signal);
  }

  /** Lets sockets have a turn. Not cut short by a failing run: what is half done gets finished. */
  turn(): Promise<void> {
    return this.clock.sleep(0, NEVER.signal);
  }

  fail(error: LongtailError): void {
    this.stopping.abort(error);
    this.bell.ring();
  }

  /** A log that cannot be written ends the run: an event that is not durable must not be acted on for long. */
  emit(event: RunEvent): void {
    try {
      this.store.log.append(event);
    } catch (error) {
      this.fail(LongtailError.from(error, 'storage'));
    }
  }

  progress(progress: Progress): void {
    this.record.progress(progress);
  }

  // ---- training

  /** The first worker's parameters are there. */
  begin(training: Training): void {
    this.training = training;
    this.record.begin(this.clock.nowMs());
    this.planValidation();
    const { total } = training.leases.totals();
    const { layout, samplesPerEpoch } = training;
    this.emit({
      event: 'started',
      run: this.run,
      parameters: layout.length,
      samplesPerEpoch,
      samplesTotal: total,
      workers: this.ready.length,
    });
  }

  /** The run has ended: lets go of the vectors, as the server keeps ended runs for those who ask. */
  dispose(): void {
    this.training = undefined;
    this.outgoing.clear();
    this.receiveBuffers.clear();
  }

  planValidation(): void {
    const { samplesPerEpoch, validationSamples, leases } = this.training!;
    if (validationSamples > 0) this.record.planValidation(this.job.validation.everyEpochs * samplesPerEpoch, leases.totals().applied);
  }

  /** Learning rate of the step that starts at this many applied samples. */
  learningRate(samplesBefore: number): number {
    const { batch, schedule, learningRate } = this.job.train;
    const steps = Math.ceil(this.training!.leases.totals().total / batch);
    return this.dependencies.learningRate(schedule, learningRate, Math.floor(samplesBefore / batch), steps);
  }

  announceCommit(sums: CommitSums): void {
    const { leases, samplesPerEpoch } = this.training!;
    const { run, round, version } = this;
    const { batch } = this.job.train;
    const samplesApplied = leases.totals().applied;
    this.emit(this.record.commit(sums, { run, round, version, batch, samplesApplied, samplesPerEpoch, nowMs: this.clock.nowMs() }));
  }

  /** Parameters of the present version. `exact`: in float32, whatever the job's codec. */
  parameters(exact: boolean): Promise<Published> {
    const { shard, grid } = this.training!;
    return this.outgoing.current(shard, grid, this.version, exact ? this.codecNamed('fp32') : this.codec);
  }

  // ---- tasks

  holderOf(task: number): string | undefined {
    return this.roster.members.find((member) => member.assignments.has(task))?.node;
  }

  /** Sends a task. `tensors` is what must come back with it; `samples` are those in its headers, where that is known. */
  assign(
    member: Member,
    fields: TaskFields,
    leases: readonly Lease[],
    tensors: readonly ExpectedTensor[],
    grid: Grid,
    samples?: number,
  ): Assignment {
    const { run, version, round } = this;
    const blank = { ranges: [], steps: [], optimizerSteps: 0, start: 0, end: 0 };
    const task: Task = { run, task: ++this.tasks, version, round, ...blank, ...fields };
    const { maxNorm } = this.job.sync;
    const bounded = task.kind === 'GRADIENT' && maxNorm !== undefined && samples !== undefined;
    const delivery = new Delivery(
      { round, baseVersion: task.version, samples, tensors, grid, maxNorm: bounded ? maxNorm * samples : undefined },
      (chunk, length) => this.inspect(chunk.bytes, chunk.codecId, length),
      this.receiveBuffers,
    );
    const assignment = new Assignment(member, task, leases, delivery, this.clock.nowMs());
    member.assignments.set(task.task, assignment);
    member.send({ message: 'task', task });
    return assignment;
  }

  /** Ends a contribution: leases, receipt, events. A task still out is called off. */
  settle(assignment: Assignment, { applied, weight, reason }: Settlement): void {
    const { member, task, leases, done, sentAtMs } = assignment;
    const { leases: book } = this.training!;
    const accepted = applied > 0;
    const staleness = Math.max(0, this.version - task.version - (accepted ? 1 : 0));
    this.callOff(assignment);
    for (const lease of leases.slice(0, applied)) book.apply(lease.id);
    const back = leases.slice(applied);
    for (const lease of back) book.giveBack(lease.id);
    const samples = sumSamples(leases.slice(0, applied));
    member.session.samplesApplied += samples;
    member.receipt({ task: task.task, accepted, weight, staleness, reason });
    this.emit({
      event: 'contribution',
      run: this.run,
      round: task.round,
      node: member.node,
      name: member.name,
      samples: accepted ? samples : assignment.samples,
      accepted,
      weight,
      staleness,
      reason,
      computeMs: done?.computeMs ?? 0,
      sentAtMs,
      doneAtMs: assignment.endedAtMs ?? this.clock.nowMs(),
      ...member.takeTraffic(),
    });
    if (back.length > 0) this.emit({ event: 'lease_returned', run: this.run, node: member.node, samples: sumSamples(back), reason });
  }

  /** Closes a task without a word about samples: evaluation, initialisation. One that is still out is called off. */
  callOff({ member, task, status, delivery }: Assignment): void {
    member.close(task.task);
    delivery.dispose();
    if (status === 'out') member.send({ message: 'cancelTask', cancelTask: { run: this.run, task: task.task, deliver: false } });
  }

  /** Leases `samples` in as many pieces as the book gives them in; fewer at the end of the data. */
  leaseUpTo(member: Member, samples: number): readonly Lease[] {
    const leases: Lease[] = [];
    for (let left = samples; left > 0;) {
      const lease = this.training!.leases.lease(member.node, left);
      if (lease === undefined) break;
      leases.push(lease);
      left -= lease.samples;
    }
    return leases;
  }

  private inspect(bytes: Uint8Array, codecId: number, length: number) {
    if (this.training !== undefined) return this.training.shard.inspect({ bytes, codecId, weight: 1 }, length);
    // Before there is a shard: the very first parameters.
    const values = new Float32Array(length);
    this.dependencies.codecs.find(({ id }) => id === codecId)!.decode(bytes, values);
    return { finite: values.every(Number.isFinite), sumOfSquares: 0 };
  }
}

export function sumSamples(leases: readonly Lease[]): number {
  return leases.reduce((sum, lease) => sum + lease.samples, 0);
}
