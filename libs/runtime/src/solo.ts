import { isStateQuantized, localStepsOf, optimizerStateCount, type Job, type Lease, type RecordedChunk } from '@longtail/core';
import type { LocalStep } from '@longtail/protocol';
import type { ExpectedTensor } from './delivery.js';
import { chunkSpan } from './grid.js';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';
import { localStep } from './hand-out.js';
import type { Member } from './member.js';
import { CHUNKS_A_TURN } from './outgoing-parameters.js';
import { admitPrepared } from './gather.js';
import { divergence } from './divergence.js';
import type { RunCore } from './run-core.js';
import type { Segment } from './segments.js';

/** Grants last this long, the first ones less: somebody waits for the first figures, and for the first checkpoint. */
const GRANT_MS = [1000, 2500, 5000];
/** A grant takes at least this multiple of the time that its upload takes, so that the device never waits for the link … */
const UPLOAD_MARGIN = 2;
/** … but not longer than this: it is what a crash may cost. */
const MAX_GRANT_MS = 60_000;
const MAX_STEPS = 1024;
/** One is computed while the next one is there already. */
const GRANTS_AHEAD = 2;
/** Before an upload was measured, a drain may take this multiple of the deadline. */
const UNMEASURED_FACTOR = 10;
const RESEND_MS = 50;

interface Grant {
  readonly assignment: GroupTask;
  /** Leases of each step. */
  readonly steps: readonly (readonly Lease[])[];
  readonly learningRate: number;
}

/** May a lone worker step for itself? It keeps moments in float32 only, and no norm is looked at; under an outer optimizer there is always an exchange. */
export function stepsAlone({ train, sync }: Job): boolean {
  return train.clipNorm === undefined && sync.maxNorm === undefined && !isStateQuantized(train.optimizer) && localStepsOf(sync) === undefined;
}

/** About how often a group that is alone brings home what it steps to. */
export function grantsOf({ samplesPerSecond }: Group, samples: number): number {
  return GRANT_MS.length + Math.ceil((1000 * samples) / samplesPerSecond / GRANT_MS.at(-1)!);
}

/**
 * A group that is alone steps for itself (docs/adr/0003): the worker runs the optimizer for many steps and brings home
 * parameters and moments, which become the next version. Ends when a second worker is ready, a validation is due, the
 * run stops, the worker is gone or the samples are. What was granted and not done goes back to the lease book.
 */
export async function runSolo(core: RunCore, group: Group, meanwhile: () => Promise<void>): Promise<void> {
  const solo = new Solo(core, group);
  for (;;) {
    admitPrepared(core);
    solo.checkStop();
    await solo.supply();
    while (solo.mayGrant()) solo.grant();
    await meanwhile();
    if (!(await solo.settleHead())) return;
  }
}

class Solo {
  private readonly grants: Grant[] = [];
  private uploadMs: number | undefined;
  /** Where sending fails nobody has said yet that the link has ended: not at once again. */
  private resendAtMs = -Infinity;
  /** Set once the phase is to end: no new grants, and those out are called home by then. */
  private drainUntilMs: number | undefined;
  private readonly moments: number;
  private readonly member: Member;
  /** The whole vector. */
  private readonly segment: Segment;

  constructor(
    private readonly core: RunCore,
    private readonly group: Group,
  ) {
    this.member = group.members[0]!;
    this.segment = core.segments[0]!;
    this.moments = optimizerStateCount(core.job.train.optimizer);
  }

  /** Calls the grants home when there is a reason to. */
  checkStop(): void {
    const { core } = this;
    const alone = core.groups.length === 1 && core.groups[0] === this.group;
    if (this.drainUntilMs !== undefined || (alone && !core.formation.moving && !core.signal.aborted)) return;
    this.drainUntilMs = core.clock.nowMs() + this.drainMs();
    for (const { assignment } of this.grants) core.tasks.recall(assignment);
  }

  /**
   * Parameters in full precision and the optimizer's moments, where the worker does not have them. Steps are granted only
   * when they have arrived: on their way they would overwrite the result of the steps.
   */
  async supply(): Promise<void> {
    const { core, member, grants } = this;
    const { shard } = core.training!;
    const nowMs = core.clock.nowMs();
    if (grants.length > 0 || this.drainUntilMs !== undefined || !member.settled || this.supplied() || nowMs < this.resendAtMs) return;
    this.resendAtMs = nowMs + RESEND_MS;
    member.supply(await core.training!.parameters(true));
    if (shard.steps === 0 || member.heldState === core.version) return;
    const moments = await core.outgoing.moments(shard, this.segment, core.version, this.moments, core.codecNamed('fp32'));
    member.supplyState(moments, core.version);
    for (const tensor of moments) tensor.retire();
  }

  mayGrant(): boolean {
    const { grants, member } = this;
    if (this.drainUntilMs !== undefined || member.state !== 'ready' || grants.length >= GRANTS_AHEAD) return false;
    return this.samplesAhead() && (grants.length > 0 || this.supplied());
  }

  private samplesAhead(): boolean {
    const { applied, leased, free } = this.core.training!.leases.totals();
    return free > 0 && applied + leased < this.core.record.validationDueAt;
  }

  private supplied(): boolean {
    const { core, member } = this;
    const stateThere = core.training!.shard.steps === 0 || member.heldState === core.version;
    return member.settled && member.holds(core.version, true) && stateThere;
  }

  grant(): void {
    const { core, group, grants } = this;
    const { shard } = core.training!;
    const { grid } = this.segment;
    const { messages, steps, learningRate } = this.leaseSteps(this.stepsAGrant());
    core.round++;
    const codec = core.codecNamed('fp32');
    const state = Array.from({ length: this.moments }, (_, fragment): ExpectedTensor => ({ kind: 'state', fragment, codec, grid, start: 0 }));
    const tensors: ExpectedTensor[] = [{ kind: 'parameters', fragment: 0, codec, grid, start: 0 }, ...state];
    const assignment = core.tasks.assign(group, {
      kind: 'LOCAL_STEPS',
      steps: messages,
      version: core.version + grants.length,
      optimizerSteps: shard.steps,
      tensorsOf: () => tensors,
      leases: steps.flat(),
    });
    grants.push({ assignment, steps, learningRate });
  }

  /** Commits the oldest grant, or waits for it. False when the phase has ended. */
  async settleHead(): Promise<boolean> {
    const { core, grants } = this;
    const head = grants[0];
    if (head === undefined) return this.awaitsSupply();
    switch (head.assignment.status) {
      case 'delivered':
        return this.takeHome(head);
      case 'out': {
        const untilMs = this.drainUntilMs ?? this.silentUntilMs(head.assignment);
        if (untilMs !== undefined && core.clock.nowMs() >= untilMs) return this.giveUp();
        await core.waitThrough(untilMs);
        return true;
      }
      default: {
        const { status, reason, nonFinite } = head.assignment;
        this.abandon(reason);
        if (nonFinite) throw divergence(core, `${this.member.name}, the only worker,`);
        if (status !== 'lost') core.roster.strike(this.member, reason);
        return false;
      }
    }
  }

  /** Without a grant out: waits for parameters on their way, or ends the phase. */
  private async awaitsSupply(): Promise<boolean> {
    const { core, member } = this;
    if (this.drainUntilMs !== undefined || member.state !== 'ready' || !this.samplesAhead()) return false;
    if (!this.supplied()) await core.waitThrough(member.settled ? this.resendAtMs : undefined);
    return true;
  }

  /** The steps that were done become the next version. False when the grants behind it are left without a base. */
  private async takeHome(grant: Grant): Promise<boolean> {
    const { core, member } = this;
    const { assignment } = grant;
    const done = assignment.done!;
    if (done.steps === 0) {
      if (!assignment.recalled) return this.refuse('delivered no step');
      this.grants.shift();
      core.tasks.settle(assignment, { applied: 0, weight: 0, reason: 'called home before its first step' });
      return true;
    }
    if (assignment.task.version !== core.version) return this.refuse(`based on version ${assignment.task.version}, which never was`);
    const checksum = await this.writeHome(assignment);
    core.training!.shard.setSteps(core.training!.shard.steps + done.steps);
    core.version++;
    core.outgoing.retireBefore(core.version);
    this.grants.shift();
    member.ownsVersion(core.version);
    member.grants++;
    this.observe(assignment);
    const following = await core.following.sendAll();
    const reason = `${done.steps} local steps of ${member.name}, the only worker`;
    const applied = grant.steps.slice(0, done.steps).flat().length;
    await core.following.tell(following, core.clock.nowMs() + core.job.sync.minDeadlineMs, () => {
      core.tasks.settle(assignment, { applied, weight: 1, reason: applied < assignment.leases.length ? 'called home early' : '' });
      core.roster.succeeded(this.group);
      const { samples, lossSum, correct, targets } = done;
      core.training!.announceCommit({ samples, lossSum, correct, targets, learningRate: grant.learningRate, gradientNorm: 0, reason, soloSteps: done.steps, checksums: checksum === undefined ? undefined : [checksum] });
    });
    return true;
  }

  private refuse(reason: string): boolean {
    this.abandon(reason);
    this.core.roster.strike(this.member, reason);
    return false;
  }

  /** Returns the checksum of the parameters where the run is recorded. */
  private async writeHome(assignment: GroupTask): Promise<number | undefined> {
    const { delivery } = assignment.parts[0]!;
    const { recorder } = this.core;
    const { shard, grid } = this.core.training!;
    await recorder.keep(this.core.version + 1, [assignment], this.recorded(assignment));
    let checksum: number | undefined;
    const codec = this.core.codecNamed('fp32');
    const scratch = new Float32Array(Math.min(grid.chunkLength, grid.length));
    for (let chunk = 0; chunk < grid.chunks; chunk++) {
      const { offset, length } = chunkSpan(grid, chunk);
      const values = scratch.subarray(0, length);
      codec.decode(delivery.bytes('parameters', 0, chunk), values);
      shard.writeParameters(values, offset);
      if (recorder.isOn) checksum = shard.checksum(offset, length, checksum);
      for (let index = 0; index < this.moments; index++) {
        codec.decode(delivery.bytes('state', index, chunk), values);
        shard.writeState(index, values, offset);
      }
      if (chunk % CHUNKS_A_TURN === CHUNKS_A_TURN - 1) await this.core.turn();
    }
    return checksum;
  }

  private *recorded({ parts }: GroupTask): Generator<RecordedChunk> {
    const { grid } = this.segment;
    const { delivery } = parts[0]!;
    const vectors = [{ kind: 'parameters', index: 0 } as const, ...Array.from({ length: this.moments }, (_, index) => ({ kind: 'state', index }) as const)];
    for (const { kind, index } of vectors) {
      for (let chunk = 0; chunk < grid.chunks; chunk++) {
        const { bytes, codecId } = delivery.coded(kind, index, chunk);
        yield { kind, index, ...chunkSpan(grid, chunk), parts: [{ part: 0, codecId, bytes }] };
      }
    }
  }

  private observe({ done, doneAtMs, endedAtMs, group }: GroupTask): void {
    this.uploadMs = endedAtMs! - doneAtMs!;
    group.speed.stepped(done!.samples, done!.computeMs - done!.prepareMs);
  }

  /** A worker that is done has its result under way: when nothing of it comes any more, something of it went astray. */
  private silentUntilMs({ done, activeAtMs }: GroupTask): number | undefined {
    return done === undefined ? undefined : activeAtMs + UNMEASURED_FACTOR * this.drainMs();
  }

  /** The worker did not come home in time: what it was granted goes to others. */
  private giveUp(): boolean {
    const called = this.drainUntilMs === undefined ? 'were done' : 'were called home';
    const reason = `did not deliver its local steps in time after they ${called}`;
    this.abandon(reason);
    this.core.roster.missed(this.group, reason);
    return false;
  }

  /** Gives all grants back. What the worker has in memory is then of no version. */
  private abandon(reason: string): void {
    for (const { assignment } of this.grants.splice(0)) {
      this.core.tasks.settle(assignment, { applied: 0, weight: 0, reason: assignment.reason || reason });
    }
    this.member.forgetHeld();
  }

  private stepsAGrant(): number {
    const target = GRANT_MS[Math.min(this.member.grants + this.grants.length, GRANT_MS.length - 1)]!;
    const lasting = Math.min(MAX_GRANT_MS, Math.max(target, UPLOAD_MARGIN * (this.uploadMs ?? 0)));
    return Math.max(1, Math.min(MAX_STEPS, Math.round(lasting / this.stepMs())));
  }

  private stepMs(): number {
    return this.core.job.train.batch * this.group.speed.msPerSample;
  }

  private leaseSteps(count: number): { messages: LocalStep[]; steps: (readonly Lease[])[]; learningRate: number } {
    const { core, group } = this;
    const { leases } = core.training!;
    const messages: LocalStep[] = [];
    const steps: (readonly Lease[])[] = [];
    let learningRate = 0;
    while (steps.length < count) {
      const { applied, leased } = leases.totals();
      if (applied + leased >= core.record.validationDueAt) break;
      const mine = core.tasks.leaseUpTo(group, core.job.train.batch);
      if (mine.length === 0) break;
      learningRate = core.training!.learningRate(applied + leased);
      steps.push(mine);
      messages.push(localStep(core, mine, learningRate));
    }
    return { messages, steps, learningRate };
  }

  private drainMs(): number {
    const { deadlineFactor, minDeadlineMs } = this.core.job.sync;
    const expectedMs = this.stepMs() + GRANTS_AHEAD * (this.uploadMs ?? 0);
    const patient = this.uploadMs === undefined && !this.core.signal.aborted;
    return (patient ? UNMEASURED_FACTOR : 1) * Math.max(minDeadlineMs, deadlineFactor * expectedMs);
  }
}
