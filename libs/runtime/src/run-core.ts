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
  type TensorChunk,
} from '@longtail/core';
import type { Prepare, Progress, Task } from '@longtail/protocol';
import { Assignment } from './assignment.js';
import { Bell } from './bell.js';
import { Delivery, type ExpectedTensor } from './delivery.js';
import { BufferPools } from './encoded-tensor.js';
import { explicitLayout } from './explicit-layout.js';
import { Formation, type FormationHost } from './formation.js';
import { gridOf, type Grid } from './grid.js';
import type { Group } from './group.js';
import { GroupTask } from './group-task.js';
import { LearningRecord, type CommitSums } from './learning-record.js';
import type { Member, MemberHost } from './member.js';
import { OutgoingParameters, type Published } from './outgoing-parameters.js';
import type { RunStore, ServedFile, ServerDependencies } from './ports.js';
import { stashCapOf } from './passes.js';
import { Roster, type Measure } from './roster.js';
import { heldBy, segmentsOf, type Segment } from './segments.js';

/** What exists once the first worker has sent fresh parameters. */
export interface Training {
  readonly layout: ParameterLayout;
  readonly shard: ParameterShard;
  readonly leases: LeaseBook;
  /** Of the whole vector. */
  readonly grid: Grid;
  readonly samplesPerEpoch: number;
  /** Those that the job wants evaluated. */
  readonly validationSamples: number;
}

/** A run's tasks differ in these; the rest follows from the run. */
export type TaskFields = Pick<Task, 'kind'> &
  Partial<Pick<Task, 'ranges' | 'steps' | 'optimizerSteps' | 'start' | 'end' | 'version' | 'microbatch'>>;

/** What is different from stage to stage. */
export interface TaskPart {
  /** What must come back. */
  readonly tensors: readonly ExpectedTensor[];
  readonly actions?: Task['actions'];
}

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
export class RunCore implements MemberHost, FormationHost {
  readonly clock: Clock;
  readonly roster: Roster;
  readonly formation = new Formation(this);
  readonly record = new LearningRecord();
  readonly outgoing: OutgoingParameters;
  readonly submittedAtMs: number;
  training: Training | undefined;
  /** The cut of the model that holds since the groups changed last. */
  segments: readonly Segment[] = [];
  version = 0;
  round = 0;
  previousShares: ReadonlyMap<string, number> = new Map();
  private readonly bell = new Bell();
  private readonly stopping = new AbortController();
  private readonly receiveBuffers = new BufferPools(SPARE_RECEIVE_BUFFERS);
  private readonly open = new Set<GroupTask>();
  private cutFor: readonly Group[] = [];
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
  /** Groups that take part, in the order in which their contributions are added. */
  get groups(): readonly Group[] {
    return this.formation.ready;
  }
  /** Members that take part. */
  get ready(): readonly Member[] {
    return this.groups.flatMap(({ members }) => members);
  }
  /** Tasks given out and not settled. */
  get openTasks(): readonly GroupTask[] {
    return [...this.open];
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

  // ---- the layout

  get members(): readonly Member[] {
    return this.roster.members;
  }
  get measure(): Measure | undefined {
    return this.roster.measure;
  }
  get begun(): boolean {
    return this.training !== undefined;
  }
  get lastTask(): number {
    return this.tasks;
  }
  get plan() {
    return this.dependencies.layout ?? explicitLayout;
  }

  prepareMessage(): Omit<Prepare, 'stage'> {
    const files = this.files.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 }));
    return { run: this.run, jobJson: JSON.stringify(this.job), files };
  }

  linkKey(): string {
    return this.dependencies.linkKey?.() ?? '';
  }

  stashCap(group: Group, stage: number): number {
    return stashCapOf(this, group, stage);
  }

  /** Cuts the model at the borders of the stages that take part, when these have changed. Between phases only. */
  cut(): void {
    const { groups, chunkLength } = this;
    if (groups.length === 0 || (groups.length === this.cutFor.length && groups.every((group, i) => group === this.cutFor[i]))) return;
    this.cutFor = groups;
    const whole = this.measure!.layout;
    const replicas = groups.map(({ members }) => members.map(({ layout }) => layout!));
    const segments = segmentsOf(whole, replicas, chunkLength);
    if (!sameCut(segments, this.segments)) {
      this.segments = segments;
      this.outgoing.recut();
      this.receiveBuffers.clear();
    }
    for (const member of this.ready) member.segments = heldBy(member.layout!, this.segments);
  }

  /** Between the stages of one group, for a task that both are at; whatever else comes is dropped. */
  relay(from: Member, chunk: TensorChunk): Promise<void> | void {
    const { stage, task } = chunk.header;
    const to = from.group?.members[stage];
    if (to === undefined || to.group !== from.group || Math.abs(stage - from.stage) !== 1) return;
    if (to.state !== 'gone' && to.assignments.get(task)?.status === 'out') return to.forward(chunk);
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
    const { shard } = this.training!;
    return this.outgoing.current(shard, this.segments, this.version, exact ? this.codecNamed('fp32') : this.codec);
  }

  // ---- tasks

  holderOf(task: number): string | undefined {
    return this.roster.members.find((member) => member.assignments.has(task))?.node;
  }

  /** Sends a group a task, each member its part. `samples` are those in the tensors' headers, where that is known. */
  assign(group: Group, fields: TaskFields, leases: readonly Lease[], partOf: (member: Member) => TaskPart, samples?: number): GroupTask {
    const { run, version, round } = this;
    const blank = { ranges: [], steps: [], optimizerSteps: 0, start: 0, end: 0, microbatch: 0 };
    const common = { run, task: ++this.tasks, version, round, ...blank, ...fields };
    const parts = group.members.map((member) => {
      const { tensors, actions = [] } = partOf(member);
      const task = { ...common, actions, parts: partsOf(tensors) };
      return this.assignPart(member, task, sumSamples(leases), tensors, samples);
    });
    const task = new GroupTask(group, parts, leases);
    this.open.add(task);
    return task;
  }

  private assignPart(member: Member, task: Task, leased: number, tensors: readonly ExpectedTensor[], samples?: number): Assignment {
    const { maxNorm } = this.job.sync;
    const bounded = task.kind === 'GRADIENT' && maxNorm !== undefined && samples !== undefined;
    const delivery = new Delivery(
      {
        stage: member.stage,
        round: task.round,
        baseVersion: task.version,
        samples,
        tensors,
        maxNorm: bounded ? maxNorm * samples : undefined,
      },
      (chunk, length) => this.inspect(chunk.bytes, chunk.codecId, length),
      this.receiveBuffers,
    );
    const assignment = new Assignment(member, task, leased, delivery, this.clock.nowMs());
    member.assignments.set(task.task, assignment);
    member.send({ message: 'task', task });
    return assignment;
  }

  /** What a member holds of the model, as tensors to expect of it. */
  expected(member: Member, kind: 'gradient' | 'parameters', codec: Codec): readonly ExpectedTensor[] {
    return member.segments.map(({ segment, start }) => ({ kind, fragment: segment.index, codec, grid: segment.grid, start }));
  }

  /** Ends a contribution: leases, receipts, events. A task still out is called off. */
  settle(task: GroupTask, { applied, weight, reason }: Settlement): void {
    const { group, leases, task: message } = task;
    const { leases: book } = this.training!;
    const accepted = applied > 0;
    const staleness = Math.max(0, this.version - message.version - (accepted ? 1 : 0));
    this.callOff(task);
    for (const lease of leases.slice(0, applied)) book.apply(lease.id);
    const back = leases.slice(applied);
    for (const lease of back) book.giveBack(lease.id);
    const samples = sumSamples(leases.slice(0, applied));
    for (const { member, done, sentAtMs, endedAtMs } of task.parts) {
      member.session.samplesApplied += samples;
      member.receipt({ task: message.task, accepted, weight, staleness, reason });
      this.emit({
        event: 'contribution',
        run: this.run,
        round: message.round,
        node: member.node,
        name: member.name,
        samples: accepted ? samples : task.samples,
        accepted,
        weight,
        staleness,
        reason,
        computeMs: done?.computeMs ?? 0,
        elapsedMs: done?.elapsedMs ?? 0,
        sentAtMs,
        doneAtMs: endedAtMs ?? this.clock.nowMs(),
        ...member.takeTraffic(),
        ...(group.solo ? {} : { stage: { group: group.id, stage: member.stage, stages: group.members.length } }),
      });
    }
    if (back.length > 0) this.emit({ event: 'lease_returned', run: this.run, node: group.id, samples: sumSamples(back), reason });
  }

  /** Closes a task without a word about samples: evaluation, initialisation. Parts that are still out are called off. */
  callOff(task: GroupTask): void {
    this.open.delete(task);
    for (const { member, task: part, status, delivery } of task.parts) {
      member.close(part.task);
      delivery.dispose();
      if (status === 'out') member.send({ message: 'cancelTask', cancelTask: { run: this.run, task: part.task, deliver: false } });
    }
  }

  /** Leases `samples` in as many pieces as the book gives them in; fewer at the end of the data. */
  leaseUpTo(group: Group, samples: number): readonly Lease[] {
    const leases: Lease[] = [];
    for (let left = samples; left > 0;) {
      const lease = this.training!.leases.lease(group.id, left);
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

/** The parts of a worker's vector that the tensors are; state vectors lie beside the parameters. */
function partsOf(tensors: readonly ExpectedTensor[]): Task['parts'] {
  return tensors
    .filter(({ kind }) => kind !== 'state')
    .map(({ fragment, start, grid }) => ({ segment: fragment, start, length: grid.length }));
}

function sameCut(a: readonly Segment[], b: readonly Segment[]): boolean {
  return a.length === b.length && a.every(({ offset, grid }, i) => offset === b[i]!.offset && grid.length === b[i]!.grid.length);
}
