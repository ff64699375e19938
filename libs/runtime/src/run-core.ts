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
import { BufferPool, EncodedTensor } from './encoded-tensor.js';
import { gridOf, type Grid } from './grid.js';
import type { Member, MemberHost } from './member.js';
import type { RunStore, ServedFile, ServerDependencies } from './ports.js';

/** What exists once the first worker has sent fresh parameters. */
export interface Training {
  readonly layout: ParameterLayout;
  readonly shard: ParameterShard;
  readonly leases: LeaseBook;
  readonly grid: Grid;
  readonly samplesPerEpoch: number;
  readonly validationSamples: number;
}

/** Tasks that fail, or deadlines that pass, in a row before a worker is released from the run. */
const MAX_STRIKES = 3;
const MAX_MISSES = 5;
/** Weight of the newest commit in the training loss that the verdict reports. */
const LOSS_SMOOTHING = 0.1;
/** Chunks worked on before the event loop has a turn. */
const CHUNKS_A_TURN = 4;
const NEVER = new AbortController();

export type TaskFields = Pick<Task, 'kind'> & Partial<Pick<Task, 'round' | 'ranges' | 'steps' | 'optimizerSteps' | 'start' | 'end' | 'version'>>;

/** What happens to a task's samples and why. `applied`: leases, from the first, that are part of a commit. */
export interface Settlement {
  readonly applied: number;
  readonly weight: number;
  readonly reason: string;
}

/** Sums over the samples of a commit. */
export interface Commit {
  readonly samples: number;
  readonly lossSum: number;
  readonly correct: number;
  readonly targets: number;
  readonly learningRate: number;
  readonly gradientNorm: number;
  readonly reason: string;
}

/**
 * The state of a run that its phases share, and the moves on it: hand out a task, settle it, release a member, say what
 * happened. Phases (round, solo, evaluation) run one after the other; handlers of messages only mark and ring.
 */
export class RunCore implements MemberHost {
  readonly members: Member[] = [];
  readonly excluded = new Set<string>();
  /** What the first ready worker said of model and data: all must agree with it. */
  measure: { readonly name: string; readonly signature: string; readonly trainSamples: number; readonly validationSamples: number } | undefined;
  readonly engines = new Set<string>();
  readonly clock: Clock;
  version = 0;
  round = 0;
  training: Training | undefined;
  previousShares: ReadonlyMap<string, number> = new Map();
  /** Non-finite contributions: rounds in a row, and the nodes they came from. */
  readonly nonFinite = { rounds: 0, nodes: new Set<string>() };
  metrics: { validation_loss: number | null; validation_accuracy: number | null; train_loss: number | null } = {
    validation_loss: null,
    validation_accuracy: null,
    train_loss: null,
  };
  /** Samples applied at which the next validation is due. */
  validationDueAt = Infinity;
  /** Why the last member could not prepare, for a run that nobody can work on. */
  preparationError: LongtailError | undefined;
  lastCommitMs = 0;
  readonly submittedAtMs: number;
  private readonly bell = new Bell();
  private readonly pool = new BufferPool();
  private readonly stopping = new AbortController();
  private readonly traffic = { up: 0, down: 0 };
  private encoded: { readonly tensor: EncodedTensor; readonly exact: boolean }[] = [];
  private tasks = 0;
  private localSamples = 0;

  constructor(
    readonly job: Job,
    readonly store: RunStore,
    readonly files: readonly ServedFile[],
    readonly dependencies: ServerDependencies,
    readonly chunkLength: number,
    /** A node that the run released is free for others. */
    private readonly freed: () => void = () => undefined,
  ) {
    this.clock = dependencies.clock;
    this.submittedAtMs = this.clock.nowMs();
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
    return this.members.filter((member) => member.state === 'ready');
  }
  /** Codec of gradients up and parameters down. */
  get codec(): Codec {
    return this.codecNamed(this.job.sync.codec);
  }
  /** Between commits, local steps included: of all samples, the fraction done. */
  get progressFraction(): number {
    const totals = this.training?.leases.totals();
    return totals === undefined ? 0 : (totals.applied + totals.lost + this.localSamples) / Math.max(1, totals.total);
  }

  // ---- waiting and saying

  changed(): void {
    this.bell.ring();
  }

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

  progress(_member: Member, progress: Progress): void {
    this.localSamples = progress.samples;
    if (progress.targets > 0) this.metrics.train_loss ??= progress.lossSum / progress.targets;
  }

  /** Says that a version was committed, and keeps the running training loss for the verdict. */
  announceCommit({ samples, lossSum, correct, targets, learningRate, gradientNorm, reason }: Commit): void {
    const { leases, samplesPerEpoch } = this.training!;
    const now = this.clock.nowMs();
    const roundMs = now - this.lastCommitMs;
    const loss = targets === 0 ? 0 : lossSum / targets;
    const before = this.metrics.train_loss;
    this.metrics.train_loss = before === null ? loss : before + LOSS_SMOOTHING * (loss - before);
    this.lastCommitMs = now;
    this.localSamples = 0;
    const { applied } = leases.totals();
    this.emit({
      event: 'commit',
      run: this.run,
      round: this.round,
      version: this.version,
      samples,
      samplesApplied: applied,
      epoch: applied / samplesPerEpoch,
      loss,
      accuracy: targets === 0 ? 0 : correct / targets,
      learningRate,
      gradientNorm,
      roundMs,
      samplesPerSecond: (1000 * samples) / Math.max(roundMs, 1e-3),
      reason,
    });
  }

  /** The first worker's parameters are there. */
  begin(training: Training): void {
    this.training = training;
    this.lastCommitMs = this.clock.nowMs();
    this.planValidation();
    const { total } = training.leases.totals();
    const { layout, samplesPerEpoch } = training;
    this.emit({ event: 'started', run: this.run, parameters: layout.length, samplesPerEpoch, samplesTotal: total, workers: this.ready.length });
  }

  /** Sets the next multiple of `everyEpochs` that lies ahead. */
  planValidation(): void {
    const { samplesPerEpoch, validationSamples, leases } = this.training!;
    const period = this.job.validation.everyEpochs * samplesPerEpoch;
    const ahead = Math.floor(leases.totals().applied / period) + 1;
    this.validationDueAt = validationSamples > 0 ? ahead * period : Infinity;
  }

  announceReady(member: Member): void {
    const { samplesPerSecond, memoryBytes, trainSamples, validationSamples } = member.ready!;
    const { engine } = member.session.hello.device;
    this.measure ??= { name: member.name, signature: member.signature, trainSamples, validationSamples };
    this.engines.add(engine);
    const { node, name, layout } = member;
    this.emit({ event: 'worker_ready', run: this.run, node, name, engine, samplesPerSecond, parameters: layout!.length, memoryBytes });
  }

  // ---- tasks

  holderOf(task: number): string | undefined {
    return this.members.find((member) => member.assignments.has(task))?.node;
  }

  /** Sends a task. `tensors` is what must come back with it. */
  assign(member: Member, fields: TaskFields, leases: readonly Lease[], tensors: readonly ExpectedTensor[], grid: Grid, samples?: number): Assignment {
    const task: Task = {
      run: this.run,
      task: ++this.tasks,
      version: this.version,
      round: this.round,
      ranges: [],
      steps: [],
      optimizerSteps: 0,
      start: 0,
      end: 0,
      ...fields,
    };
    const { maxNorm } = this.job.sync;
    const bounded = task.kind === 'GRADIENT' && maxNorm !== undefined && samples !== undefined;
    const delivery = new Delivery(
      { round: task.round, baseVersion: task.version, samples, tensors, grid, maxNorm: bounded ? maxNorm * samples : undefined },
      (chunk, length) => this.inspect(chunk.bytes, chunk.codecId, length),
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
    const now = this.clock.nowMs();
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
      doneAtMs: assignment.endedAtMs ?? now,
      ...member.takeTraffic(),
    });
    if (back.length > 0) {
      this.emit({ event: 'lease_returned', run: this.run, node: member.node, samples: sumSamples(back), reason });
    }
  }

  /** Closes a task without a word about samples: evaluation, initialisation. */
  callOff(assignment: Assignment): void {
    const { member, task, status } = assignment;
    member.close(assignment);
    if (status === 'out') member.send({ message: 'cancelTask', cancelTask: { run: this.run, task: task.task, deliver: false } });
  }

  /** Leases `samples` in as many pieces as the book gives them in; fewer at the end of the data. */
  leaseUpTo(member: Member, samples: number): readonly Lease[] {
    const leases: Lease[] = [];
    for (let left = samples; left > 0; ) {
      const lease = this.training!.leases.lease(member.node, left);
      if (lease === undefined) break;
      leases.push(lease);
      left -= lease.samples;
    }
    return leases;
  }

  /** Learning rate of the step that starts at this many applied samples. */
  learningRate(samplesBefore: number): number {
    const { batch, schedule, learningRate } = this.job.train;
    const steps = Math.ceil(this.training!.leases.totals().total / batch);
    return this.dependencies.learningRate(schedule, learningRate, Math.floor(samplesBefore / batch), steps);
  }

  // ---- parameters as they are sent

  /** The tensor that the coming version will be sent as; it takes the place of the one before. */
  encode(grid: Grid, version: number, codec: Codec, exact: boolean, fill: ConstructorParameters<typeof EncodedTensor>[4]): EncodedTensor {
    const tensor = new EncodedTensor(grid, version, codec.id, codec.maxBytes(this.chunkLength), fill, this.pool);
    this.retireBefore(version);
    this.encoded.push({ tensor, exact });
    return tensor;
  }

  /** Parameters of this version, coded the first time somebody needs them. `exact`: float32, whatever the job's codec. */
  async parameters(exact: boolean): Promise<{ tensor: EncodedTensor; exact: boolean }> {
    const there = this.encoded.find((encoded) => encoded.tensor.version === this.version && (encoded.exact || !exact));
    if (there !== undefined) return there;
    const { grid, shard } = this.training!;
    const codec = exact ? this.codecNamed('fp32') : this.codec;
    const tensor = this.encode(grid, this.version, codec, codec.name === 'fp32', ({ offset, length }, out) =>
      shard.encodeParameters(offset, length, codec.id, out),
    );
    await this.finish(tensor);
    return { tensor, exact: codec.name === 'fp32' };
  }

  /** Codes what is not coded yet, with turns for the sockets. */
  async finish(tensor: EncodedTensor): Promise<void> {
    for (let chunk = 1; !tensor.complete; chunk++) {
      tensor.advance();
      if (chunk % CHUNKS_A_TURN === 0) await this.turn();
    }
  }

  encodedState(version: number, grid: Grid, count: number): readonly EncodedTensor[] {
    const codec = this.codecNamed('fp32');
    const { shard } = this.training!;
    const values = new Float32Array(this.chunkLength);
    return Array.from({ length: count }, (_, index) => {
      const fill = ({ offset, length }: { offset: number; length: number }, out: Uint8Array) => {
        const slice = values.subarray(0, length);
        shard.readState(index, slice, offset);
        return codec.encode(slice, out);
      };
      return new EncodedTensor(grid, version, codec.id, codec.maxBytes(this.chunkLength), fill, this.pool);
    });
  }

  /** The shard is about to change: tensors of older versions are sent to nobody new. */
  retireBefore(version: number): void {
    for (const { tensor } of this.encoded.filter((encoded) => encoded.tensor.version < version)) tensor.retire();
    this.encoded = this.encoded.filter((encoded) => encoded.tensor.version >= version);
  }

  grid(length: number): Grid {
    return gridOf(length, this.chunkLength);
  }

  codecNamed(name: Codec['name']): Codec {
    const codec = this.dependencies.codecs.find((candidate) => candidate.name === name);
    if (codec === undefined) throw new Error(`no codec ${name}`);
    return codec;
  }

  // ---- members

  /** One task of a member failed or was refused; after a few in a row it is released. */
  strike(member: Member, reason: string): void {
    member.strikes++;
    if (member.strikes >= MAX_STRIKES) this.release(member, `${MAX_STRIKES} tasks in a row failed, the last: ${reason}`);
  }

  /** A member missed a deadline; after a few in a row it is released. */
  missed(member: Member, reason: string): void {
    member.misses++;
    member.forgetHeld();
    if (member.misses >= MAX_MISSES) this.release(member, `${reason}, the ${MAX_MISSES}th deadline in a row: its device or link is too slow for this run`);
  }

  succeeded(member: Member): void {
    member.strikes = 0;
    member.misses = 0;
  }

  /** Sends a member home; the node stays, the run will not take it again. */
  release(member: Member, reason: string): void {
    this.excluded.add(member.node);
    this.emit({ event: 'warning', run: this.run, message: `${member.name} released: ${reason}`, hint: '' });
    this.dismiss(member, reason);
    this.freed();
  }

  /** Takes a member out of the run. Its open tasks are lost; the phase under way settles them. */
  dismiss(member: Member, reason: string): void {
    member.send({ message: 'release', release: { run: this.run, reason } });
    member.depart(reason);
    this.changed();
  }

  /** Forgets members who are gone and have nothing left to settle. */
  sweep(): void {
    for (const member of this.members.filter(({ state, assignments }) => state === 'gone' && assignments.size === 0)) {
      const { up, down } = member.totalTraffic();
      this.traffic.up += up;
      this.traffic.down += down;
      this.members.splice(this.members.indexOf(member), 1);
    }
  }

  totalTraffic(): { up: number; down: number } {
    const total = { ...this.traffic };
    for (const member of this.members) {
      const { up, down } = member.totalTraffic();
      total.up += up;
      total.down += down;
    }
    return total;
  }

  private inspect(bytes: Uint8Array, codecId: number, length: number) {
    const { training } = this;
    if (training !== undefined) return training.shard.inspect({ bytes, codecId, weight: 1 }, length);
    return this.inspectWithCodec(bytes, codecId, length);
  }

  /** Before there is a shard: the very first parameters. */
  private inspectWithCodec(bytes: Uint8Array, codecId: number, length: number) {
    const values = new Float32Array(length);
    this.dependencies.codecs.find(({ id }) => id === codecId)!.decode(bytes, values);
    return { finite: values.every(Number.isFinite), sumOfSquares: 0 };
  }
}

function sumSamples(leases: readonly Lease[]): number {
  return leases.reduce((sum, lease) => sum + lease.samples, 0);
}
