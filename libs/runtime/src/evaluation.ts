import type { SyncStrategy, TaskState } from '@longtail/core';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';
import type { RunCore } from './run-core.js';
import { divergence } from './divergence.js';
import { forwardPassesOf } from './passes.js';
import { silentAmong } from './patience.js';

/** Evaluation has no backward pass: until it was measured, a worker is taken to be this much faster at it. */
const FORWARD_SPEEDUP = 3;
/** A pipeline's slice has at most this many microbatches: as many activations may wait before a slow stage. */
const MAX_MICROBATCHES = 64;

const NOBODY_SILENT = { silent: [], nextMs: undefined };

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
 * Loss and accuracy of the current version on the validation split, shared by speed. Slices of groups who leave, fail
 * or miss the deadline go to the others. `requireWorker` waits for one when all are gone.
 */
export async function evaluate(core: RunCore, requireWorker: () => Promise<void>): Promise<void> {
  const total = core.training!.validationSamples;
  const sums: Sums = { samples: 0, targets: 0, lossSum: 0, correct: 0 };
  const startedAtMs = core.clock.nowMs();
  // Nothing is learnt from it: everybody is waited for, up to the deadline.
  const strategy = core.dependencies.strategy({ ...core.job, sync: { ...core.job.sync, strategy: 'bsp', quorum: 1 } });
  for (let pending: readonly Slice[] = [{ start: 0, end: total }]; pending.length > 0;) {
    await requireWorker();
    pending = await evaluationPass(core, strategy, pending, sums);
  }
  announce(core, sums, core.clock.nowMs() - startedAtMs);
}

/** Gives each group one slice of what is pending; returns what is still to do. */
async function evaluationPass(core: RunCore, strategy: SyncStrategy, pending: readonly Slice[], sums: Sums): Promise<readonly Slice[]> {
  const { tasks, rest } = await handOut(core, pending);
  const open = new Map(tasks.map((task) => [task.group.id, task]));
  const lost: Slice[] = [...rest];
  while (open.size > 0) {
    core.roster.letGo();
    for (const task of [...open.values()].filter(({ status }) => status !== 'out' && status !== 'delivered')) {
      open.delete(task.group.id);
      lost.push(sliceOf(task));
      dropBroken(core, task);
    }
    const members = [...open.values()].map((task) => ({ node: task.group.id, rounds: 0, task: standing(task), queued: 0 }));
    const { round, version } = core;
    const decision = strategy.decide({ round, version, roundSamples: core.training!.validationSamples, members }, core.clock.nowMs());
    const { silent, nextMs } = decision.wakeAtMs === undefined ? silentAmong(open.values(), core.clock.nowMs()) : NOBODY_SILENT;
    const late = decision.release.map(({ node, reason }) => ({ task: open.get(node)!, reason }));
    for (const { task, reason } of [...late, ...silent]) {
      open.delete(task.group.id);
      lost.push(sliceOf(task));
      core.tasks.callOff(task);
      task.group.evaluationSpeed = evaluationSpeed(task.group) / 2;
      core.roster.missed(task.group, reason);
    }
    for (const { node } of decision.commit) {
      take(core, open.get(node)!, sums);
      open.delete(node);
    }
    if (open.size > 0) await core.waitForTasks(decision.needs, decision.wakeAtMs ?? nextMs);
  }
  return lost;
}

async function handOut(core: RunCore, pending: readonly Slice[]): Promise<{ tasks: GroupTask[]; rest: Slice[] }> {
  const parameters = await core.training!.parameters(false);
  const { groups } = core;
  const samples = pending.reduce((sum, { start, end }) => sum + end - start, 0);
  const times = groups.map((group) => ({ node: group.id, fixedMs: 0, msPerSample: 1000 / evaluationSpeed(group) }));
  const shares = core.dependencies.shares(samples, times, new Map());
  const rest = [...pending];
  const tasks: GroupTask[] = [];
  for (const group of groups) {
    const share = Math.min(shares.get(group.id) ?? 0, group.solo ? Infinity : MAX_MICROBATCHES * group.plan.microbatch);
    const first = rest[0];
    if (share === 0 || first === undefined) continue;
    const end = Math.min(first.end, first.start + share);
    if (end === first.end) rest.shift();
    else rest[0] = { start: end, end: first.end };
    for (const member of group.members) member.supply(parameters);
    const passes = forwardPassesOf(core, group, end - first.start);
    tasks.push(core.tasks.assign(group, { kind: 'EVALUATE', start: first.start, end, tensorsOf: () => [], passes }));
  }
  return { tasks, rest };
}

function take(core: RunCore, task: GroupTask, sums: Sums): void {
  const { group } = task;
  const done = task.done!;
  core.tasks.callOff(task);
  core.roster.succeeded(group);
  group.evaluationSpeed = (1000 * done.samples) / Math.max(done.computeMs, 1e-3);
  sums.samples += done.samples;
  sums.targets += done.targets;
  sums.lossSum += done.lossSum;
  sums.correct += done.correct;
}

function standing({ group, task, startedAtMs, receives, status, endedAtMs, recalled }: GroupTask): TaskState {
  const samples = task.end - task.start;
  return {
    round: task.round,
    samples,
    startedAtMs,
    receives,
    expectedMs: group.evaluationSpeed === undefined ? undefined : (group.speed.exchangeMs ?? 0) + (1000 * samples) / group.evaluationSpeed,
    deliveredAtMs: status === 'delivered' ? endedAtMs : undefined,
    baseVersion: task.version,
    recalled,
  };
}

/** A loss that is not finite is this group's fault as long as others may say otherwise. */
function dropBroken(core: RunCore, task: GroupTask): void {
  const { broken, reason, nonFinite } = task;
  core.tasks.callOff(task);
  if (nonFinite && core.groups.length === 1) throw divergence(core, 'the validation');
  if (broken!.status !== 'lost') core.roster.strike(broken!.member, reason);
}

function evaluationSpeed(group: Group): number {
  return group.evaluationSpeed ?? FORWARD_SPEEDUP * group.samplesPerSecond;
}

function sliceOf({ task }: GroupTask): Slice {
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
