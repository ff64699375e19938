import { mixingOf, stepBatchOf, type Lease, type LocalStepRule, type SyncStrategy } from '@longtail/core';
import type { LocalStep } from '@longtail/protocol';
import type { FragmentTurns } from './fragment-turns.js';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';
import type { Member } from './member.js';
import { countSamples } from './microbatches.js';
import { passesOf } from './passes.js';
import type { RunCore } from './run-core.js';
import type { PlannedShares } from './share-plan.js';
import { stepsDue, type Streaming } from './step-dues.js';
import { sumSamples } from './tasks.js';

const NO_STEPS: readonly LocalStep[] = [];

/**
 * Gives groups their next tasks, and whoever lacks them the parameters: a share of the batch, or local steps. Who gets none
 * stays idle. What lies behind the next validation is not handed out before it.
 */
export async function handOut(core: RunCore, groups: readonly Group[], strategy: SyncStrategy): Promise<readonly GroupTask[]> {
  const { localSteps: rule } = strategy;
  core.round++;
  const parameters = await core.parameters(false);
  const standing = rule === undefined ? standingShares(core) : undefined;
  const shares = standing ?? (rule === undefined ? planShares(core, strategy) : planSteps(core, rule));
  const fraction = rule === undefined ? 1 : fractionLeft(core, groups, shares);
  const tasks: GroupTask[] = [];
  let before = 0;
  for (const group of groups) {
    const share = shares.get(group.id) ?? 0;
    const count = Math.round((before + share) * fraction) - Math.round(before * fraction);
    before += share;
    const work = rule === undefined ? leaseShare(core, group, share) : leaseSteps(core, group, count, core.training!.leases.totals().applied, core.roundSamples / share);
    if (work.leases.length === 0) {
      if (rule === undefined && standing === undefined) group.speed.idled();
      group.rounds++;
      continue;
    }
    for (const member of group.members) member.supply(parameters);
    tasks.push(rule === undefined ? gradientTask(core, group, work) : deltaTask(core, group, work));
  }
  return tasks;
}

/**
 * Gives groups their next tasks of a stream: steps that go on from those before, after which the fragment whose turn it is in
 * the group's last round of them is brought home.
 */
export async function handOutStream(
  core: RunCore,
  groups: readonly Group[],
  rule: LocalStepRule,
  turns: FragmentTurns,
): Promise<readonly GroupTask[]> {
  const parameters = await core.parameters(false);
  const steps = planSteps(core, rule, turns.count);
  const streaming = (group: Group): Streaming => ({ group, lastRound: turns.roundOf(group, group.tasks.length) - 1 });
  const leader = streaming(core.groups.reduce((a, b) => (steps.get(b.id)! > steps.get(a.id)! ? b : a)));
  const nowMs = core.clock.nowMs();
  const dueBy = (group: Group) =>
    group === leader.group ? undefined : stepsDue(leader, steps.get(leader.group.id)!, streaming(group), stepBatchOf(core.job), nowMs);
  const next = new Map(groups.map((group) => [group.id, turns.nextTask(group, group.tasks.length, steps.get(group.id)!, dueBy(group))]));
  const fraction = fractionLeft(core, groups, new Map([...next].map(([id, task]) => [id, task.steps])));
  const { applied, leased } = core.training!.leases.totals();
  let before = 0;
  return groups.flatMap((group) => {
    const { round, rounds, steps: share } = next.get(group.id)!;
    const count = Math.round((before + share) * fraction) - Math.round(before * fraction);
    before += share;
    const { steps, leases } = leaseSteps(core, group, count, applied + leased, (rounds * core.roundSamples) / share);
    if (leases.length === 0) {
      turns.leave(group);
      return [];
    }
    for (const member of group.members) member.supply(parameters);
    return [streamTask(core, group, round, [turns.fragmentOf(round)], steps, leases)];
  });
}

/** Lets a group bring home what it stepped and did not send, of every fragment. */
export function bringHome(core: RunCore, group: Group, turns: FragmentTurns): GroupTask {
  return streamTask(core, group, turns.roundOf(group, 0), turns.owedBy(group), [], []);
}

function streamTask(
  core: RunCore,
  group: Group,
  round: number,
  fragments: readonly number[],
  steps: readonly LocalStep[],
  leases: readonly Lease[],
): GroupTask {
  core.round = Math.max(core.round, round);
  const tensorsOf = (member: Member) => core.tasks.expected(member, 'gradient', core.codec).filter(({ fragment }) => fragments.includes(fragment));
  return core.tasks.assign(group, { kind: 'STREAM', steps, round, mixing: mixingOf(core.job.sync) }, { tensorsOf, leases });
}

/** Samples that may be handed out now. */
export function samplesAhead(core: RunCore): number {
  const { applied, leased, free } = core.training!.leases.totals();
  return Math.max(0, Math.min(free, core.record.validationDueAt - applied - leased));
}

/** What a group is to do next. */
interface Work {
  readonly leases: readonly Lease[];
  /** Each of a batch of its own; none where it takes a gradient of all that is leased. */
  readonly steps: readonly LocalStep[];
}

function leaseShare(core: RunCore, group: Group, share: number): Work {
  const leases = core.tasks.leaseUpTo(group, share);
  core.sharesLeft!.samples -= sumSamples(leases);
  return { leases, steps: NO_STEPS };
}

function gradientTask(core: RunCore, group: Group, { leases }: Work): GroupTask {
  const passes = passesOf(core, group, sumSamples(leases));
  const tensorsOf = (member: Member) => (passes?.samplesOf(member) === 0 ? [] : core.tasks.expected(member, 'gradient', core.codec));
  return core.tasks.assign(group, { kind: 'GRADIENT', ranges: rangesOf(leases) }, { tensorsOf, leases, passes });
}

function deltaTask(core: RunCore, group: Group, { leases, steps }: Work): GroupTask {
  // What several hold moves alike: one of them brings it home.
  const tensorsOf = (member: Member) => {
    const held = core.tasks.expected(member, 'gradient', core.codec);
    return group.solo ? held : held.filter(({ fragment }) => group.bringerOf(fragment) === member);
  };
  if (group.solo) return core.tasks.assign(group, { kind: 'DELTA', steps }, { tensorsOf, leases });
  const passes = passesOf(core, group, countSamples(steps[0]!.ranges));
  const sharedOf = (member: Member) =>
    member.segments
      .map(({ segment, start }) => ({ start, length: segment.grid.length, holders: group.holdersOf(segment.index).map(({ worker }) => worker) }))
      .filter(({ holders }) => holders.length > 1);
  return core.tasks.assign(group, { kind: 'DELTA', steps }, { tensorsOf, sharedOf, leases, passes });
}

/** Each step is of a batch of its own; meanwhile all groups together go through `samplesAStep`. `from`: samples before the first one. */
function leaseSteps(core: RunCore, group: Group, count: number, from: number, samplesAStep: number): Work {
  const batch = stepBatchOf(core.job);
  const { total } = core.training!.leases.totals();
  const leases: Lease[] = [];
  const steps: LocalStep[] = [];
  for (let step = 0; step < count; step++) {
    const mine = core.tasks.leaseUpTo(group, batch);
    if (mine.length === 0) break;
    leases.push(...mine);
    steps.push(localStep(core, mine, core.learningRate(Math.min(total - 1, from + step * samplesAStep))));
  }
  return { steps, leases };
}

/** On a batch. Where the data end before it is whole the step is as much shorter: each sample counts the same. */
export function localStep({ job }: RunCore, leases: readonly Lease[], learningRate: number): LocalStep {
  return { ranges: rangesOf(leases), learningRate: learningRate * (sumSamples(leases) / stepBatchOf(job)) };
}

function rangesOf(leases: readonly Lease[]): Lease['ranges'] {
  return leases.length === 1 ? leases[0]!.ranges : leases.flatMap(({ ranges }) => ranges);
}

/** As they were planned last: they hold for a batch, however its parts are handed out, as long as the groups are the same. */
function standingShares({ groups, previousShares, sharesLeft }: RunCore): ReadonlyMap<string, number> | undefined {
  return sharesLeft !== undefined && sharesLeft.groups === groups && sharesLeft.samples > 0 ? previousShares : undefined;
}

function planShares(core: RunCore, strategy: SyncStrategy): ReadonlyMap<string, number> {
  const { groups } = core;
  const planned = nextShares(core, strategy, core.round);
  const { shares } = planned;
  core.roundSamples = core.job.train.batch;
  core.sharesLeft = { groups, samples: planned.samples };
  if (strategy.together === true) core.line.groups = groups.reduce((count, { id }) => (shares.get(id)! > 0 ? count + 1 : count), 0);
  if (shares !== core.previousShares) announce(core, shares, { reason: planned.reason });
  return shares;
}

/** Of the round's batch; before it begins, those that it will have unless the groups change. */
export function nextShares({ groups, job, training, sharePlan, clock }: RunCore, { together = false }: SyncStrategy, round: number): PlannedShares {
  const samples = Math.min(job.train.batch, training!.leases.totals().free);
  return sharePlan.next({ round, samples, groups, together, nowMs: clock.nowMs() });
}

/** Steps a round; `rounds` go by before they are announced as a number, to which fractions are rounded. */
function planSteps(core: RunCore, rule: LocalStepRule, rounds = 1): ReadonlyMap<string, number> {
  const batch = stepBatchOf(core.job);
  const { steps, reason } = paceSteps(core, rule);
  core.sharesLeft = undefined;
  core.roundSamples = batch * [...steps.values()].reduce((sum, count) => sum + count, 0);
  announce(core, new Map([...steps].map(([node, count]) => [node, Math.round(rounds * count)])), { unit: 'local steps', reason });
  return steps;
}

/** What the rule says of the groups as they are. */
export function paceSteps({ groups, job, training }: RunCore, rule: LocalStepRule): ReturnType<LocalStepRule> {
  const batch = stepBatchOf(job);
  return rule(groups.map(({ id, speed }) => ({ node: id, stepMs: batch * speed.msPerSample, exchangeMs: speed.exchangeMs })), training!.leases.totals().total / batch);
}

/** Of the steps planned: towards the end of the data, or a validation, there are samples for fewer. */
function fractionLeft(core: RunCore, groups: readonly Group[], steps: ReadonlyMap<string, number>): number {
  const wanted = groups.reduce((sum, { id }) => sum + steps.get(id)!, 0);
  return Math.min(1, Math.ceil(samplesAhead(core) / stepBatchOf(core.job)) / wanted);
}

function announce(core: RunCore, shares: ReadonlyMap<string, number>, why: { readonly unit?: 'local steps'; readonly reason: string }): void {
  const { previousShares } = core;
  core.previousShares = shares;
  if (shares.size === previousShares.size && [...shares].every(([node, share]) => previousShares.get(node) === share)) return;
  core.emit({ event: 'shares', run: core.run, round: core.round, shares: Object.fromEntries(shares), ...why });
}
