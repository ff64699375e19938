import type { SyncStrategy } from '@longtail/core';
import type { Assignment } from './assignment.js';
import type { Member } from './member.js';
import type { RunCore } from './run-core.js';
import { divergence } from './divergence.js';

/** Evaluation has no backward pass: until it was measured, a worker is taken to be this much faster at it. */
const FORWARD_SPEEDUP = 3;

interface Slice {
  readonly start: number;
  readonly end: number;
}

interface Sums {
  samples: number;
  targets: number;
  lossSum: number;
  correct: number;
}

/**
 * Loss and accuracy of the current version on the validation split, shared by speed. Slices of workers who leave, fail
 * or miss the deadline go to the others. `requireWorker` waits for one when all are gone.
 */
export async function evaluate(core: RunCore, strategy: SyncStrategy, requireWorker: () => Promise<void>): Promise<void> {
  const total = core.training!.validationSamples;
  const sums: Sums = { samples: 0, targets: 0, lossSum: 0, correct: 0 };
  const startedAtMs = core.clock.nowMs();
  for (let pending: readonly Slice[] = [{ start: 0, end: total }]; pending.length > 0;) {
    await requireWorker();
    pending = await evaluationPass(core, strategy, pending, sums);
  }
  announce(core, sums, core.clock.nowMs() - startedAtMs);
}

/** Gives each worker one slice of what is pending; returns what is still to do. */
async function evaluationPass(core: RunCore, strategy: SyncStrategy, pending: readonly Slice[], sums: Sums): Promise<readonly Slice[]> {
  const openedAtMs = core.clock.nowMs();
  const { assignments, rest } = await handOut(core, pending);
  const open = new Map(assignments.map((assignment) => [assignment.member.node, assignment]));
  const lost: Slice[] = [...rest];
  while (open.size > 0) {
    for (const assignment of [...open.values()].filter(({ status }) => status !== 'out' && status !== 'delivered')) {
      open.delete(assignment.member.node);
      lost.push(sliceOf(assignment));
      dropBroken(core, assignment);
    }
    const members = [...open.values()].map((assignment) => standing(assignment));
    const decision = strategy.decide({ round: core.round, version: core.version, openedAtMs, members }, core.clock.nowMs());
    for (const { node, reason } of decision.release) {
      const late = open.get(node)!;
      open.delete(node);
      lost.push(sliceOf(late));
      core.callOff(late);
      late.member.evaluationSpeed = evaluationSpeed(late.member) / 2;
      core.roster.missed(late.member, reason);
    }
    for (const { node } of decision.commit) {
      take(core, open.get(node)!, sums);
      open.delete(node);
    }
    if (open.size > 0) await core.wait(decision.wakeAtMs);
  }
  return lost;
}

async function handOut(core: RunCore, pending: readonly Slice[]): Promise<{ assignments: Assignment[]; rest: Slice[] }> {
  const parameters = await core.parameters(false);
  const members = core.ready;
  const samples = pending.reduce((sum, { start, end }) => sum + end - start, 0);
  const speeds = members.map((member) => ({ node: member.node, samplesPerSecond: evaluationSpeed(member) }));
  const shares = core.dependencies.shares(samples, speeds, new Map());
  const rest = [...pending];
  const assignments: Assignment[] = [];
  for (const member of members) {
    const share = shares.get(member.node) ?? 0;
    const first = rest[0];
    if (share === 0 || first === undefined) continue;
    const end = Math.min(first.end, first.start + share);
    if (end === first.end) rest.shift();
    else rest[0] = { start: end, end: first.end };
    member.supply(parameters);
    assignments.push(core.assign(member, { kind: 'EVALUATE', start: first.start, end }, [], [], core.training!.grid));
  }
  return { assignments, rest };
}

function take(core: RunCore, assignment: Assignment, sums: Sums): void {
  const { done, member } = assignment;
  core.callOff(assignment);
  core.roster.succeeded(member);
  member.evaluationSpeed = (1000 * done!.samples) / Math.max(done!.computeMs, 1e-3);
  sums.samples += done!.samples;
  sums.targets += done!.targets;
  sums.lossSum += done!.lossSum;
  sums.correct += done!.correct;
}

function standing(assignment: Assignment) {
  const { member, task, sentAtMs, status, endedAtMs } = assignment;
  const samples = task.end - task.start;
  return {
    node: member.node,
    samples,
    startedAtMs: sentAtMs,
    expectedMs:
      member.evaluationSpeed === undefined ? undefined : (member.speed.exchangeMs ?? 0) + (1000 * samples) / member.evaluationSpeed,
    deliveredAtMs: status === 'delivered' ? endedAtMs : undefined,
    baseVersion: task.version,
  };
}

/** A loss that is not finite is this worker's fault as long as others may say otherwise. */
function dropBroken(core: RunCore, assignment: Assignment): void {
  const { member, status, reason, nonFinite } = assignment;
  core.callOff(assignment);
  if (nonFinite && core.ready.length === 1) throw divergence(core, 'the validation');
  if (status !== 'lost') core.roster.strike(member, reason);
}

function evaluationSpeed(member: Member): number {
  return member.evaluationSpeed ?? FORWARD_SPEEDUP * member.samplesPerSecond;
}

function sliceOf({ task }: Assignment): Slice {
  return { start: task.start, end: task.end };
}

function announce(core: RunCore, { samples, targets, lossSum, correct }: Sums, ms: number): void {
  const { leases, samplesPerEpoch } = core.training!;
  const loss = lossSum / Math.max(1, targets);
  const accuracy = correct / Math.max(1, targets);
  core.record.metrics.validation_loss = loss;
  core.record.metrics.validation_accuracy = accuracy;
  core.record.validatedVersion = core.version;
  const epoch = leases.totals().applied / samplesPerEpoch;
  core.emit({ event: 'validation', run: core.run, version: core.version, epoch, samples, loss, accuracy, ms });
}
