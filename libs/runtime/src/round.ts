import type { MemberState as Standing, RoundState, SyncStrategy } from '@longtail/core';
import { commitRound, type Contribution } from './commit.js';
import { divergence } from './divergence.js';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';
import type { Member } from './member.js';
import { passesOf } from './passes.js';
import { patienceWith } from './patience.js';
import type { RunCore } from './run-core.js';
import { afterDelivery, afterIdleRound, afterMiss, balancedSpeeds, expectedMs } from './speed.js';
import { sumSamples } from './tasks.js';

/** Rounds in a row with a non-finite contribution, from different nodes, after which it is the run and not a node. */
const NON_FINITE_ROUNDS = 3;

/**
 * One round of the groups (DESIGN.md section 4): shares, tasks, contributions, and the commit that the strategy decides.
 * `meanwhile` runs while the workers compute.
 */
export async function runRound(core: RunCore, strategy: SyncStrategy, meanwhile: () => Promise<void>): Promise<void> {
  core.round++;
  const openedAtMs = core.clock.nowMs();
  const tasks = await handOut(core);
  await meanwhile();
  const outcome = await collect(core, strategy, tasks, openedAtMs);
  checkDivergence(core, outcome);
  if (outcome.commit.length > 0) await commitRound(core, outcome.commit, outcome.reason);
}

/** Splits the next batch over the groups and sends each its task. */
async function handOut(core: RunCore): Promise<GroupTask[]> {
  const { leases } = core.training!;
  const shares = planShares(core, Math.min(core.job.train.batch, leases.totals().free));
  const parameters = await core.parameters(false);
  const tasks: GroupTask[] = [];
  for (const group of core.groups) {
    const mine = core.tasks.leaseUpTo(group, shares.get(group.id) ?? 0);
    if (mine.length === 0) {
      group.speed = afterIdleRound(group.speed);
      continue;
    }
    for (const member of group.members) member.supply(parameters);
    const samples = sumSamples(mine);
    const ranges = mine.flatMap((lease) => lease.ranges);
    const passes = passesOf(core, group, samples);
    const tensorsOf = (member: Member) => (passes.samplesOf(member) > 0 ? core.tasks.expected(member, 'gradient', core.codec) : []);
    tasks.push(core.tasks.assign(group, { kind: 'GRADIENT', ranges }, { tensorsOf, leases: mine, passes }));
  }
  return tasks;
}

function planShares(core: RunCore, batch: number): ReadonlyMap<string, number> {
  const { groups } = core;
  const speeds = balancedSpeeds(
    batch,
    groups.map(({ speed }) => speed),
  );
  const workers = groups.map(({ id }, i) => ({ node: id, samplesPerSecond: speeds[i]! }));
  const shares = core.dependencies.shares(batch, workers, core.previousShares);
  if (!sameShares(shares, core.previousShares)) {
    const total = workers.reduce((sum, { samplesPerSecond }) => sum + samplesPerSecond, 0);
    const who = groups.every(({ solo }) => solo) ? 'workers' : 'groups';
    const reason = `${workers.length} ${who}, ${total.toPrecision(3)} samples/s together`;
    core.emit({ event: 'shares', run: core.run, round: core.round, shares: Object.fromEntries(shares), reason });
  }
  core.previousShares = shares;
  return shares;
}

interface Outcome {
  readonly commit: readonly Contribution[];
  readonly reason: string;
  readonly nonFinite: readonly Group[];
  /** Contributions that came and were worthless for another reason. */
  readonly otherwiseBroken: number;
}

/** Waits until the strategy commits, or nobody is left to wait for. */
async function collect(core: RunCore, strategy: SyncStrategy, tasks: readonly GroupTask[], openedAtMs: number): Promise<Outcome> {
  const open = new Map(tasks.map((task) => [task.group.id, task]));
  const nonFinite: Group[] = [];
  let otherwiseBroken = 0;
  for (;;) {
    for (const task of [...open.values()].filter(isBroken)) {
      open.delete(task.group.id);
      if (task.nonFinite) nonFinite.push(task.group);
      else otherwiseBroken++;
      settleBroken(core, task);
    }
    if (open.size === 0) return { commit: [], reason: 'no contribution left', nonFinite, otherwiseBroken };
    const decision = strategy.decide(roundState(core, openedAtMs, [...open.values()]), core.clock.nowMs());
    for (const { node, reason } of decision.release) {
      settleMissed(core, open.get(node)!, reason);
      open.delete(node);
    }
    if (decision.commit.length > 0) {
      const commit = decision.commit.map(({ node, weight }) => ({ task: open.get(node)!, weight }));
      for (const { task } of commit) observeSpeed(core, task);
      return { commit, reason: decision.reason, nonFinite, otherwiseBroken };
    }
    if (open.size > 0) await core.wait(decision.wakeAtMs ?? dropSilent(core, open));
  }
}

/**
 * In a first round there is no deadline yet, but who is done delivers, and who has its parameters gets done, or is dropped.
 * Returns when to look again; undefined: when something comes.
 */
function dropSilent(core: RunCore, open: Map<string, GroupTask>): number | undefined {
  const nowMs = core.clock.nowMs();
  let nextMs: number | undefined;
  for (const task of [...open.values()]) {
    const limit = patienceWith(task);
    if (limit === undefined) continue;
    nextMs = Math.min(nextMs ?? Infinity, limit.untilMs);
    if (nowMs < limit.untilMs) continue;
    settleMissed(core, task, limit.reason);
    open.delete(task.group.id);
  }
  return nextMs;
}

function isBroken({ status }: GroupTask): boolean {
  return status === 'refused' || status === 'failed' || status === 'lost';
}

function settleBroken(core: RunCore, task: GroupTask): void {
  const { broken, reason } = task;
  core.tasks.settle(task, { applied: 0, weight: 0, reason });
  if (broken!.status !== 'lost') core.roster.strike(broken!.member, reason);
}

function settleMissed(core: RunCore, task: GroupTask, reason: string): void {
  const { group, samples, sentAtMs } = task;
  core.tasks.settle(task, { applied: 0, weight: 0, reason });
  group.speed = afterMiss(group.speed, samples, core.clock.nowMs() - sentAtMs);
  core.roster.missed(group, reason);
}

function observeSpeed({ paces }: RunCore, { group, samples, done, sentAtMs, endedAtMs, parts }: GroupTask): void {
  for (const part of parts) paces.observe(part.member.node, part.samples, part.done!.computeMs);
  group.speed = afterDelivery(group.speed, { samples, computeMs: done!.computeMs, elapsedMs: endedAtMs! - sentAtMs });
}

function roundState(core: RunCore, openedAtMs: number, tasks: readonly GroupTask[]): RoundState {
  return { round: core.round, version: core.version, openedAtMs, members: tasks.map(standing) };
}

function standing({ group, samples, sentAtMs, status, endedAtMs, task }: GroupTask): Standing {
  return {
    node: group.id,
    samples,
    startedAtMs: sentAtMs,
    expectedMs: expectedMs(group.speed, samples),
    deliveredAtMs: status === 'delivered' ? endedAtMs : undefined,
    baseVersion: task.version,
  };
}

/** One worker's NaN is that worker's; everybody's is the run's. */
function checkDivergence(core: RunCore, { commit, nonFinite, otherwiseBroken }: Outcome): void {
  const { nonFinite: seen } = core.record;
  if (nonFinite.length === 0) {
    seen.rounds = 0;
    seen.nodes.clear();
    return;
  }
  seen.rounds++;
  for (const { id } of nonFinite) seen.nodes.add(id);
  const everybody = commit.length === 0 && otherwiseBroken === 0;
  const again = seen.rounds >= NON_FINITE_ROUNDS && seen.nodes.size > 1;
  if (everybody || again)
    throw divergence(core, everybody ? 'every worker' : `${seen.nodes.size} workers in ${seen.rounds} rounds running`);
}

function sameShares(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  return a.size === b.size && [...a].every(([node, share]) => b.get(node) === share);
}
