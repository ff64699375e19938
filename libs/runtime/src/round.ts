import type { MemberState as Standing, RoundState, SyncStrategy } from '@longtail/core';
import type { Assignment } from './assignment.js';
import { commitRound, type Contribution } from './commit.js';
import { divergence } from './divergence.js';
import type { Member } from './member.js';
import { sumSamples, type RunCore } from './run-core.js';
import { afterDelivery, afterIdleRound, afterMiss, balancedSpeeds, expectedMs } from './speed.js';

/** Rounds in a row with a non-finite contribution, from different nodes, after which it is the run and not a node. */
const NON_FINITE_ROUNDS = 3;

/**
 * One round of a group (DESIGN.md section 4): shares, tasks, contributions, and the commit that the strategy decides.
 * `meanwhile` runs while the workers compute.
 */
export async function runRound(core: RunCore, strategy: SyncStrategy, meanwhile: () => Promise<void>): Promise<void> {
  core.round++;
  const openedAtMs = core.clock.nowMs();
  const assignments = await handOut(core);
  await meanwhile();
  const outcome = await collect(core, strategy, assignments, openedAtMs);
  checkDivergence(core, outcome);
  if (outcome.commit.length > 0) await commitRound(core, outcome.commit, outcome.reason);
}

/** Splits the next batch over the ready members and sends each its task. */
async function handOut(core: RunCore): Promise<Assignment[]> {
  const { leases, grid } = core.training!;
  const shares = planShares(core, Math.min(core.job.train.batch, leases.totals().free));
  const parameters = await core.parameters(false);
  const assignments: Assignment[] = [];
  for (const member of core.ready) {
    const mine = core.leaseUpTo(member, shares.get(member.node) ?? 0);
    if (mine.length === 0) {
      member.speed = afterIdleRound(member.speed);
      continue;
    }
    member.supply(parameters);
    const ranges = mine.flatMap((lease) => lease.ranges);
    const gradient = { kind: 'gradient', fragment: 0, codec: core.codec } as const;
    assignments.push(core.assign(member, { kind: 'GRADIENT', ranges }, mine, [gradient], grid, sumSamples(mine)));
  }
  return assignments;
}

function planShares(core: RunCore, batch: number): ReadonlyMap<string, number> {
  const members = core.ready;
  const speeds = balancedSpeeds(
    batch,
    members.map(({ speed }) => speed),
  );
  const workers = members.map(({ node }, i) => ({ node, samplesPerSecond: speeds[i]! }));
  const shares = core.dependencies.shares(batch, workers, core.previousShares);
  if (!sameShares(shares, core.previousShares)) {
    const total = workers.reduce((sum, { samplesPerSecond }) => sum + samplesPerSecond, 0);
    const reason = `${workers.length} workers, ${total.toPrecision(3)} samples/s together`;
    core.emit({ event: 'shares', run: core.run, round: core.round, shares: Object.fromEntries(shares), reason });
  }
  core.previousShares = shares;
  return shares;
}

interface Outcome {
  readonly commit: readonly Contribution[];
  readonly reason: string;
  readonly nonFinite: readonly Member[];
  /** Contributions that came and were worthless for another reason. */
  readonly otherwiseBroken: number;
}

/** Waits until the strategy commits, or nobody is left to wait for. */
async function collect(core: RunCore, strategy: SyncStrategy, assignments: readonly Assignment[], openedAtMs: number): Promise<Outcome> {
  const open = new Map(assignments.map((assignment) => [assignment.member.node, assignment]));
  const nonFinite: Member[] = [];
  let otherwiseBroken = 0;
  for (;;) {
    for (const assignment of [...open.values()].filter(isBroken)) {
      open.delete(assignment.member.node);
      if (assignment.nonFinite) nonFinite.push(assignment.member);
      else otherwiseBroken++;
      settleBroken(core, assignment);
    }
    if (open.size === 0) return { commit: [], reason: 'no contribution left', nonFinite, otherwiseBroken };
    const decision = strategy.decide(roundState(core, openedAtMs, [...open.values()]), core.clock.nowMs());
    for (const { node, reason } of decision.release) {
      settleMissed(core, open.get(node)!, reason);
      open.delete(node);
    }
    if (decision.commit.length > 0) {
      const commit = decision.commit.map(({ node, weight }) => ({ assignment: open.get(node)!, weight }));
      for (const { assignment } of commit) observeSpeed(assignment);
      return { commit, reason: decision.reason, nonFinite, otherwiseBroken };
    }
    if (open.size > 0) await core.wait(decision.wakeAtMs);
  }
}

function isBroken({ status }: Assignment): boolean {
  return status === 'refused' || status === 'failed' || status === 'lost';
}

function settleBroken(core: RunCore, assignment: Assignment): void {
  core.settle(assignment, { applied: 0, weight: 0, reason: assignment.reason });
  if (assignment.status !== 'lost') core.roster.strike(assignment.member, assignment.reason);
}

function settleMissed(core: RunCore, assignment: Assignment, reason: string): void {
  const { member, samples, sentAtMs } = assignment;
  core.settle(assignment, { applied: 0, weight: 0, reason });
  member.speed = afterMiss(member.speed, samples, core.clock.nowMs() - sentAtMs);
  core.roster.missed(member, reason);
}

function observeSpeed(assignment: Assignment): void {
  const { member, samples, done, sentAtMs, endedAtMs } = assignment;
  member.speed = afterDelivery(member.speed, { samples, computeMs: done!.computeMs, elapsedMs: endedAtMs! - sentAtMs });
}

function roundState(core: RunCore, openedAtMs: number, assignments: readonly Assignment[]): RoundState {
  return { round: core.round, version: core.version, openedAtMs, members: assignments.map(standing) };
}

function standing({ member, samples, sentAtMs, status, endedAtMs, task }: Assignment): Standing {
  return {
    node: member.node,
    samples,
    startedAtMs: sentAtMs,
    expectedMs: expectedMs(member.speed, samples),
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
  for (const { node } of nonFinite) seen.nodes.add(node);
  const everybody = commit.length === 0 && otherwiseBroken === 0;
  const again = seen.rounds >= NON_FINITE_ROUNDS && seen.nodes.size > 1;
  if (everybody || again)
    throw divergence(core, everybody ? 'every worker' : `${seen.nodes.size} workers in ${seen.rounds} rounds running`);
}

function sameShares(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  return a.size === b.size && [...a].every(([node, share]) => b.get(node) === share);
}
