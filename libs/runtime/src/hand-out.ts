import { mixingOf, stepBatchOf, type Lease, type LocalStepRule, type SyncStrategy } from '@longtail/core';
import type { LocalStep } from '@longtail/protocol';
import type { FragmentTurns } from './fragment-turns.js';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';
import type { Member } from './member.js';
import { countSamples } from './microbatches.js';
import type { Published } from './outgoing-parameters.js';
import { passesOf, type Passes } from './passes.js';
import type { RunCore } from './run-core.js';
import type { PlannedShares } from './share-plan.js';
import { stepsDue, type Streaming } from './step-dues.js';
import { sumSamples, type Tasks } from './tasks.js';

/**
 * Gives groups their next tasks, and whoever lacks them the parameters: a share of the batch, or local steps. Who gets none
 * stays idle. What lies behind the next validation is not handed out before it.
 */
export async function handOut(core: RunCore, groups: readonly Group[], strategy: SyncStrategy): Promise<readonly GroupTask[]> {
  const { localSteps: rule } = strategy;
  core.round++;
  const parameters = await core.training!.parameters(false);
  const next = rule === undefined ? gradients(core, strategy, parameters) : moves(core, groups, rule, parameters);
  const tasks: GroupTask[] = [];
  for (const group of groups) {
    const task = next(group);
    if (task === undefined) group.rounds++;
    else tasks.push(task);
  }
  return tasks;
}

/** Undefined: there is nothing for the group. */
type Next = (group: Group) => GroupTask | undefined;

function gradients(core: RunCore, strategy: SyncStrategy, parameters: Published): Next {
  const standing = standingShares(core);
  const shares = standing ?? planShares(core, strategy);
  return (group) => {
    const leases = core.tasks.leaseUpTo(group, shares.get(group.id) ?? 0);
    const samples = sumSamples(leases);
    core.sharesLeft!.samples -= samples;
    if (samples > 0) return gradientTask(core, group, leases, samples, parameters);
    if (standing === undefined) group.speed.idled();
    return undefined;
  };
}

function moves(core: RunCore, groups: readonly Group[], rule: LocalStepRule, parameters: Published): Next {
  const shares = planSteps(core, rule);
  const fraction = fractionLeft(core, groups, shares);
  let before = 0;
  return (group) => {
    const share = shares.get(group.id) ?? 0;
    const count = Math.round((before + share) * fraction) - Math.round(before * fraction);
    before += share;
    const { steps, leases } = leaseSteps(core, group, count, core.training!.leases.totals().applied, core.roundSamples / share);
    return leases.length > 0 ? deltaTask(core, group, steps, leases, parameters) : undefined;
  };
}

function supply({ members }: Group, parameters: Published): void {
  for (const member of members) member.supply(parameters);
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
  const parameters = await core.training!.parameters(false);
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
    supply(group, parameters);
    return [streamTask(core, group, round, [turns.fragmentOf(round)], steps, leases)];
  });
}

/** Lets a group bring home what it stepped and did not send, of every fragment. */
export function bringHome(core: RunCore, group: Group, turns: FragmentTurns): GroupTask {
  return streamTask(core, group, turns.lastRound ?? turns.roundOf(group, 0), turns.owedBy(group), [], []);
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
  const tensorsOf = (member: Member) => core.tasks.gradientOf(member).filter(({ fragment }) => fragments.includes(fragment));
  return core.tasks.assign(group, { kind: 'STREAM', steps, round, mixing: mixingOf(core.job.sync), tensorsOf, leases });
}

/** Samples that may be handed out now. */
export function samplesAhead(core: RunCore): number {
  const { applied, leased, free } = core.training!.leases.totals();
  return Math.max(0, Math.min(free, core.record.validationDueAt - applied - leased));
}

function gradientTask(core: RunCore, group: Group, leases: readonly Lease[], samples: number, parameters: Published): GroupTask {
  supply(group, parameters);
  const { gradientOf } = core.tasks;
  const passes = passesOf(core, group, samples);
  const tensorsOf = passes === undefined ? gradientOf : ofThoseIn(passes, gradientOf);
  return core.tasks.assign(group, { kind: 'GRADIENT', ranges: rangesOf(leases), tensorsOf, leases, passes });
}

/** Nothing of a member that no samples pass through. */
function ofThoseIn(passes: Passes, tensorsOf: Tasks['gradientOf']): Tasks['gradientOf'] {
  return (member) => (passes.samplesOf(member) === 0 ? [] : tensorsOf(member));
}

function deltaTask(core: RunCore, group: Group, steps: readonly LocalStep[], leases: readonly Lease[], parameters: Published): GroupTask {
  supply(group, parameters);
  // What several hold moves alike: one of them brings it home.
  const tensorsOf = (member: Member) => {
    const held = core.tasks.gradientOf(member);
    return group.solo ? held : held.filter(({ fragment }) => group.bringerOf(fragment) === member);
  };
  if (group.solo) return core.tasks.assign(group, { kind: 'DELTA', steps, tensorsOf, leases });
  const passes = passesOf(core, group, countSamples(steps[0]!.ranges));
  const sharedOf = (member: Member) =>
    member.segments
      .map(({ segment, start }) => ({ start, length: segment.grid.length, holders: group.holdersOf(segment.index).map(({ worker }) => worker) }))
      .filter(({ holders }) => holders.length > 1);
  return core.tasks.assign(group, { kind: 'DELTA', steps, tensorsOf, sharedOf, leases, passes });
}

/** Each step is of a batch of its own; meanwhile all groups together go through `samplesAStep`. `from`: samples before the first one. */
function leaseSteps(core: RunCore, group: Group, count: number, from: number, samplesAStep: number): { readonly steps: readonly LocalStep[]; readonly leases: readonly Lease[] } {
  const batch = stepBatchOf(core.job);
  const { total } = core.training!.leases.totals();
  const leases: Lease[] = [];
  const steps: LocalStep[] = [];
  for (let step = 0; step < count; step++) {
    const mine = core.tasks.leaseUpTo(group, batch);
    if (mine.length === 0) break;
    leases.push(...mine);
    steps.push(localStep(core, mine, core.training!.learningRate(Math.min(total - 1, from + step * samplesAStep))));
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
  if (areAlike(shares, previousShares)) return;
  core.emit({ event: 'shares', run: core.run, round: core.round, shares: tableOf(shares), ...why });
}

function areAlike(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  if (a.size !== b.size) return false;
  for (const node of a.keys()) if (a.get(node) !== b.get(node)) return false;
  return true;
}

/** Without a prototype V8 keeps it as a table from the start: of thousands of names that takes a tenth of the time and memory. */
function tableOf(shares: ReadonlyMap<string, number>): Record<string, number> {
  const table = Object.create(null) as Record<string, number>;
  for (const node of shares.keys()) table[node] = shares.get(node)!;
  return table;
}
