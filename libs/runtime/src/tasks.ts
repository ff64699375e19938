import { allFinite, Numbered, type ChunkInspection, type Codec, type CodedChunk, type Lease, type RunEvent, type TensorChunk } from '@longtail/core';
import type { ServerMessage, SharedPart, Task } from '@longtail/protocol';
import { Assignment } from './assignment.js';
import { Delivery, type ExpectedTensor } from './delivery.js';
import { BufferPools } from './encoded-tensor.js';
import type { Group } from './group.js';
import { GroupTask } from './group-task.js';
import type { Member } from './member.js';
import { NormBound } from './norm-bound.js';
import type { Passes } from './passes.js';
import type { RunCore } from './run-core.js';
import type { HeldSegment } from './segments.js';

/** What a group is to do; what it does not say follows from the run. */
interface Work extends Pick<Task, 'kind'>, Partial<Pick<Task, 'ranges' | 'steps' | 'optimizerSteps' | 'start' | 'end' | 'version' | 'round' | 'mixing'>> {
  /** What a member must bring home. */
  tensorsOf(member: Member): readonly ExpectedTensor[];
  /** What it holds and others of its group too, where they step for themselves. */
  readonly sharedOf?: (member: Member) => readonly SharedPart[];
  readonly leases?: readonly Lease[];
  /** Of samples through the group; of local steps those of the first one, of which there are most. A solo worker has none of these. */
  readonly passes?: Passes | undefined;
}

/** What happens to a task's samples and why. */
interface Settlement {
  /** Leases, from the first, that are part of a commit, in a stream of some fragments of the parameters; the others go back. */
  readonly applied: number;
  readonly weight: number;
  readonly reason: string;
}

const NONE: readonly never[] = [];

/** Contributions whose buffers are kept for the next round; more workers than that allocate theirs anew. */
const SPARE_RECEIVE_BUFFERS = 16;

/** The tasks of a run: handed out, settled, and what travels between the workers that are at one. */
export class Tasks {
  /** Number of the last one given out. */
  last = 0;
  private readonly open = new Numbered<GroupTask>();
  /** What was expected last: of most members it is the same. */
  private latest: { readonly segments: readonly HeldSegment[]; readonly kind: string; readonly codec: Codec; readonly tensors: readonly ExpectedTensor[]; readonly parts: Task['parts'] } | undefined;
  private readonly receiveBuffers = new BufferPools(SPARE_RECEIVE_BUFFERS);

  constructor(private readonly core: RunCore) {}

  /** All that were given out and are not settled. */
  get unsettled(): readonly GroupTask[] {
    return this.open.values();
  }

  /** Given out and not settled. */
  find(task: number): GroupTask | undefined {
    return this.open.get(task);
  }

  /** Sends a group a task, each member its part. */
  assign(group: Group, work: Work): GroupTask {
    const { core } = this;
    const { kind, ranges = NONE, steps = NONE, optimizerSteps = 0, start = 0, end = 0, version = core.version, round = core.round, mixing = 0 } = work;
    const { sharedOf, leases = NONE, passes } = work;
    const number = ++this.last;
    const microbatch = passes?.microbatch ?? 0;
    const leased = sumSamples(leases);
    // A gradient comes as a sum, a move as it is.
    const summed = kind === 'GRADIENT' ? leased : kind === 'DELTA' || kind === 'STREAM' ? 1 : undefined;
    const normBound = summed === undefined ? undefined : this.normBound(summed);
    // Of local steps it is the group that decides how many.
    const samples = kind === 'GRADIENT' ? leased : kind === 'EVALUATE' ? end - start : undefined;
    const { members } = group;
    const assignments = new Array<Assignment>(members.length);
    for (let i = 0; i < members.length; i++) {
      const member = members[i]!;
      const { worker } = member;
      const tensors = work.tensorsOf(member);
      const actions = passes?.actionsOf(member) ?? NONE;
      const shared = sharedOf?.(member) ?? NONE;
      const parts = tensors === this.latest?.tensors ? this.latest.parts : partsOf(tensors);
      const codec = tensors[0]?.codec.id ?? 0;
      const task: Task = { run: core.run, task: number, kind, ranges, steps, optimizerSteps, start, end, version, round, mixing, microbatch, actions, parts, shared, codec };
      const own = samples === undefined || passes === undefined ? samples : passes.samplesOf(member);
      const delivery = new Delivery({ worker, round, baseVersion: version, samples: own, tensors, normBound }, this.inspect, this.receiveBuffers);
      assignments[i] = this.assignPart(member, task, own ?? leased, delivery);
    }
    const task = new GroupTask(group, assignments, leases, leased, passes);
    this.open.set(number, task);
    return task;
  }

  private assignPart(member: Member, task: Task, samples: number, delivery: Delivery): Assignment {
    const assignment = new Assignment(member, task, samples, delivery, member.takeSupplied(), this.core.clock.nowMs());
    member.begin(assignment);
    member.send({ message: 'task', task });
    return assignment;
  }

  /** Local steps are to end with the one under way, and to be delivered. */
  recall(task: GroupTask): void {
    task.recalled = true;
    for (const { member } of task.parts) {
      member.send({ message: 'cancelTask', cancelTask: { run: this.core.run, task: task.task.task, deliver: true } });
    }
  }

  /** Of a sum over so many samples. */
  private normBound(samples: number): NormBound | undefined {
    const { job, segments, training } = this.core;
    const { maxNorm } = job.sync;
    if (maxNorm === undefined) return undefined;
    return new NormBound(maxNorm * samples, ({ fragment, offset, length }, contributions) =>
      training!.shard.inspectSum(segments[fragment]!.offset + offset, length, contributions),
    );
  }

  /** What a member holds of the model, as tensors to expect of it. */
  expected({ segments }: Member, kind: 'gradient' | 'parameters', codec: Codec): readonly ExpectedTensor[] {
    const { latest } = this;
    if (latest?.segments === segments && latest.kind === kind && latest.codec === codec) return latest.tensors;
    const tensors = segments.map(({ segment, start }) => ({ kind, fragment: segment.index, codec, grid: segment.grid, start }));
    this.latest = { segments, kind, codec, tensors, parts: partsOf(tensors) };
    return tensors;
  }

  /** The same of its gradient, in the codec of what comes up. */
  readonly gradientOf = (member: Member): readonly ExpectedTensor[] => this.expected(member, 'gradient', this.core.codec);

  /** From one stage of a task to the next one or the one before, or between the workers of a group that steps for itself; whatever else comes is dropped. */
  relay(from: Member, chunk: TensorChunk): Promise<void> | void {
    const { task } = chunk.header;
    const to = this.receiver(from, chunk);
    if (to !== undefined && to.state !== 'gone' && to.workload.find(task)?.status === 'out') return to.forward(chunk);
  }

  private receiver(from: Member, { header: { kind, stage, fragment, task, to = 0 } }: TensorChunk): Member | undefined {
    const open = this.open.get(task);
    if (kind === 'peer') return open?.task.kind === 'DELTA' && open.group.members[stage] === from ? open.group.members[to] : undefined;
    return open?.passes?.taker(stage + (kind === 'activation' ? -1 : 1), fragment) === from ? open.passes.taker(stage, fragment) : undefined;
  }

  /** Ends a contribution: leases, receipts, events. A task still out is called off. */
  settle(task: GroupTask, { applied, weight, reason }: Settlement): void {
    const { core } = this;
    const { group, leases, passes, task: message } = task;
    const { leases: book } = core.training!;
    const accepted = weight > 0;
    const staleness = Math.max(0, core.version - message.version - (accepted ? 1 : 0));
    this.callOff(task);
    let appliedSamples = 0;
    let backSamples = 0;
    for (let i = 0; i < leases.length; i++) {
      const { id, samples } = leases[i]!;
      if (i < applied) appliedSamples += samples;
      else backSamples += samples;
      if (i >= applied) book.giveBack(id);
      else if (message.kind === 'STREAM') book.applyPartly(id);
      else book.apply(id);
    }
    const receipt: ServerMessage = { message: 'receipt', receipt: { run: core.run, task: message.task, accepted, weight, staleness, reason, pending: false } };
    for (const part of task.parts) {
      const { member, done, samples: own, startedAtMs, endedAtMs, delivery, exchange } = part;
      const samples = accepted ? Math.round(appliedSamples * (passes?.fractionOf(member) ?? 1)) : own;
      if (accepted) member.session.samplesApplied += samples;
      core.send(member, receipt);
      const traffic = member.traffic.take();
      core.emit({
        event: 'contribution',
        run: core.run,
        round: message.round,
        node: member.node,
        name: member.name,
        samples,
        accepted,
        weight,
        staleness,
        reason,
        computeMs: done?.computeMs ?? 0,
        elapsedMs: done?.elapsedMs ?? 0,
        sentAtMs: startedAtMs,
        doneAtMs: endedAtMs ?? core.clock.nowMs(),
        bytesUp: traffic.bytesUp + (done?.peerBytesUp ?? 0),
        bytesDown: traffic.bytesDown + (done?.peerBytesDown ?? 0),
        exchange,
        bytesSaved: delivery.bytesSaved,
        fragments: message.kind === 'STREAM' ? message.parts.map(({ segment }) => segment) : undefined,
        stage: group.solo ? undefined : placeOf(group, member),
      });
      member.workload.idleFrom(endedAtMs ?? core.clock.nowMs());
    }
    if (applied < leases.length) core.emit({ event: 'lease_returned', run: core.run, node: group.id, samples: backSamples, reason });
  }

  /** Of tasks settled before, which are part of some fragments of the parameters and will not be of the others. */
  lose(group: Group, leases: readonly Lease[], reason: string): void {
    if (leases.length === 0) return;
    for (const { id } of leases) this.core.training!.leases.lose(id);
    this.core.emit({ event: 'samples_lost', run: this.core.run, node: group.id, samples: sumSamples(leases), reason });
  }

  /** Closes a task without a word about samples: evaluation, initialisation. Parts that are still out are called off. */
  callOff({ task: { task }, parts }: GroupTask): void {
    this.open.delete(task);
    for (const { member, status, delivery } of parts) {
      member.close(task);
      delivery.dispose();
      if (status === 'out') member.send({ message: 'cancelTask', cancelTask: { run: this.core.run, task, deliver: false } });
    }
  }

  /** Leases `samples`, fewer at the end of the data; none of no samples. */
  leaseUpTo(group: Group, samples: number): readonly Lease[] {
    const lease = samples > 0 ? this.core.training!.leases.lease(group.id, samples) : undefined;
    return lease === undefined ? NONE : [lease];
  }

  /** What comes from now on has other sizes, or nothing comes any more. */
  forgetBuffers(): void {
    this.receiveBuffers.clear();
  }

  private readonly inspect = (chunk: CodedChunk, length: number): ChunkInspection => {
    const { training, dependencies } = this.core;
    if (training !== undefined) return training.shard.inspect(chunk, length);
    // Before there is a shard: the very first parameters.
    const values = new Float32Array(length);
    dependencies.codecs.find(({ id }) => id === chunk.codecId)!.decode(chunk.bytes, values);
    return { finite: allFinite(values), sumOfSquares: 0 };
  };
}

export function sumSamples(leases: readonly Lease[]): number {
  return leases.reduce((sum, lease) => sum + lease.samples, 0);
}

function placeOf(group: Group, member: Member): Extract<RunEvent, { event: 'contribution' }>['stage'] {
  const held = group.stagesOf(member);
  return { group: group.id, stage: held[0]!, stages: group.stages.length, ...(held.length === 1 ? {} : { held: held.length }) };
}

/** The parts of a worker's vector that the tensors are; state vectors lie beside the parameters. */
function partsOf(tensors: readonly ExpectedTensor[]): Task['parts'] {
  const ofVector = tensors.some(({ kind }) => kind === 'state') ? tensors.filter(({ kind }) => kind !== 'state') : tensors;
  return ofVector.map(({ fragment, start, grid }) => ({ segment: fragment, start, length: grid.length }));
}
