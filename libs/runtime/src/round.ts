import { LongtailError, Numbered, type Decision, type SyncStrategy } from '@longtail/core';
import { commitRound, type Contribution } from './commit.js';
import { NonFiniteWatch } from './divergence.js';
import { NO_TASKS, type Group } from './group.js';
import type { GroupTask } from './group-task.js';
import { FragmentTurns } from './fragment-turns.js';
import { bringHome, handOut, handOutStream, nextShares, samplesAhead } from './hand-out.js';
import { silentAmong } from './patience.js';
import type { RunCore } from './run-core.js';
import { Watchlist } from './watchlist.js';

export interface RoundsContext {
  /** Runs while the workers compute. */
  meanwhile(): Promise<void>;
  /** Something else is to be done as soon as nobody is at work: no new tasks. */
  mustEnd(): boolean;
}

/**
 * Rounds of the groups with the server (DESIGN.md section 4): tasks, contributions, and the commits, as the strategy decides.
 * Ends when no group is at work: under a strategy with rounds after each one, else when it must, or the samples are out.
 */
export async function runRounds(core: RunCore, strategy: SyncStrategy, context: RoundsContext): Promise<void> {
  const rounds = new Rounds(core, strategy);
  try {
    do await rounds.advance(context);
    while (rounds.underWay);
  } finally {
    rounds.end();
  }
}

class Rounds {
  /** Groups with tasks, in the order in which they began. */
  private readonly atWork = new Numbered<Group>();
  private begun = 0;
  /** Those whom the decision at hand may name. */
  private members: readonly Group[] = [];
  /** Of a strategy that exchanges fragments. */
  private readonly turns: FragmentTurns | undefined;
  /** Of a strategy that decides about each group apart. */
  private readonly watchlist: Watchlist | undefined;
  private readonly nonFinite: NonFiniteWatch;
  private ending = false;
  /** Who got nothing since a task ended, or groups changed: there is nothing for them before that happens again. */
  private readonly refused = new Set<Group>();
  /** Groups that take part, where all that were at work at the last look do. */
  private allHere: readonly Group[] | undefined;

  constructor(
    private readonly core: RunCore,
    private readonly strategy: SyncStrategy,
  ) {
    this.nonFinite = new NonFiniteWatch(core);
    checkWhole(core, strategy);
    if (strategy.fragments !== undefined) this.turns = new FragmentTurns(core.segments.length, core.round + 1);
    if (strategy.apart !== true) return;
    const watchlist = (this.watchlist = new Watchlist());
    core.taskEnded = ({ group }) => watchlist.stir(group);
  }

  /** Somebody is at work, or has steps that it did not send. */
  get underWay(): boolean {
    const { core, atWork, turns } = this;
    return atWork.size > 0 || (turns !== undefined && turns.owing.some((group) => core.groups.includes(group) || group.finishing));
  }

  /** Whatever is not sent will not be. */
  end(): void {
    this.core.taskEnded = undefined;
    for (const group of this.atWork.values()) group.tasks = NO_TASKS;
    for (const group of this.turns?.owing ?? []) this.lose(group, 'the rounds ended before all of it was sent');
  }

  private tasksWhere(isOne: (task: GroupTask) => boolean): readonly GroupTask[] {
    const found: GroupTask[] = [];
    for (const { tasks } of this.atWork.values()) for (const task of tasks) if (isOne(task)) found.push(task);
    return found;
  }

  /** Of a group that is at work. */
  private oldest(id: string): GroupTask {
    return this.core.byId.find(this.members, id).task!;
  }

  /** One look at how everybody stands; waits where there is nothing to do. */
  async advance(context: RoundsContext): Promise<void> {
    const { core, atWork } = this;
    const begins = atWork.size === 0;
    this.dropBroken();
    this.dropGone();
    this.letGo();
    this.bringHome();
    if (!begins && atWork.size === 0) return this.nonFinite.nobodyLeft();
    const decision = this.decide();
    this.release(decision);
    const wakeAtMs = this.watchlist === undefined ? decision.wakeAtMs : this.watchlist.wakeAtMs;
    if (decision.commit.length > 0) return this.commit(decision, wakeAtMs);
    if (!begins && atWork.size === 0) return this.nonFinite.nobodyLeft();
    // Whoever lost its task is free for another one.
    if (decision.release.length > 0) return;
    for (const node of decision.recall) core.tasks.recall(this.oldest(node));
    if (await this.handOut(decision.proceed, context)) return context.meanwhile();
    if (atWork.size === 0) return;
    await core.waitForTasks(decision.needs, earliest(wakeAtMs, this.dropSilent(wakeAtMs)), this.counting);
  }

  private decide(): Decision {
    const { core, strategy, watchlist } = this;
    const nowMs = core.clock.nowMs();
    const { round, version, roundSamples } = core;
    const all = (this.members = this.concerned());
    if (watchlist === undefined) return strategy.decide({ round, version, roundSamples, members: all }, nowMs);
    const decision = strategy.decide({ round, version, roundSamples, members: watchlist.look(all, nowMs), fleet: watchlist }, nowMs);
    watchlist.decided(decision.wakeAtMs, decision.commit.length > 0 ? undefined : new Set(decision.proceed));
    return decision;
  }

  /** Which deliveries may be one that a decision needs; undefined: any. Who is ahead in a stream is not waited for. */
  private get counting(): ((task: GroupTask) => boolean) | undefined {
    if (this.turns === undefined) return undefined;
    const oldest = this.atWork.values().reduce((least, { tasks }) => Math.min(least, tasks[0]!.round), Infinity);
    return ({ round }) => round <= oldest;
  }

  /** Those of these ids that take part: all of them, most of the time. */
  private named(ids: readonly string[]): readonly Group[] {
    const { members, core: { groups, byId } } = this;
    if (ids.length === groups.length && groups.every(({ id }, i) => id === ids[i])) return groups;
    const named = ids.map((id) => byId.find(members, id));
    if (members === groups) return named;
    const here = new Set(groups);
    return named.filter((group) => here.has(group));
  }

  /** Whether anybody got a task. */
  private async handOut(nodes: readonly string[], { mustEnd }: RoundsContext): Promise<boolean> {
    const { core } = this;
    if (nodes.length === 0) return false;
    const groups = this.named(nodes);
    if (groups.length === 0) return false;
    const over = samplesAhead(core) === 0;
    this.ending ||= !over && mustEnd();
    if (over || this.ending) this.turns?.endWith(core.round + 1);
    if (over || this.ending || this.turns?.lastRound !== undefined) return this.bringHome();
    if (groups.every((group) => this.refused.has(group))) return false;
    const tasks = await this.nextTasks(groups);
    for (const task of tasks) this.open(task);
    if (tasks.length < groups.length) for (const group of groups) if (group.tasks.length === 0) this.refused.add(group);
    return tasks.length > 0;
  }

  private open(task: GroupTask): void {
    const { group } = task;
    this.watchlist?.stir(group);
    if (group.tasks.length > 0) group.tasks = [...group.tasks, task];
    else {
      group.tasks = [task];
      group.place = ++this.begun;
      this.atWork.set(group.place, group);
    }
  }

  private nextTasks(groups: readonly Group[]): Promise<readonly GroupTask[]> {
    const { core, strategy, turns } = this;
    const { localSteps } = strategy;
    if (turns === undefined) return handOut(core, groups, strategy);
    return handOutStream(core, groups, localSteps!, turns);
  }

  /** Before something else begins, everybody sends what it did not send yet. Whether anybody does so now. */
  private bringHome(): boolean {
    const { core, turns } = this;
    if (turns?.lastRound === undefined) return false;
    const idle = turns.owing.filter((group) => group.tasks.length === 0 && core.groups.includes(group));
    for (const group of idle) this.open(bringHome(core, group, turns));
    return idle.length > 0;
  }

  private async commit({ commit, stepScale, reason }: Decision, wakeAtMs: number | undefined): Promise<void> {
    const { core } = this;
    const contributions = commit.map(({ node, weight }) => {
      const task = this.oldest(node);
      observeSpeed(core, task);
      this.close(task);
      return { task, weight, moved: this.turns?.taken(task) };
    });
    core.line.settle();
    const supplied = this.supplied(contributions);
    const unsentOf = (fragment: number) => this.turns?.unsentOf(fragment) ?? 0;
    await commitRound(core, contributions, { stepScale, reason, local: this.strategy.localSteps !== undefined, wakeAtMs, supplied, unsentOf });
    this.nonFinite.committed();
  }

  /** All who have a share, where all begin together; else who may go on at once. Any other one gets the version that is when it is given a task, or when nobody is at work. */
  private supplied(contributions: readonly Contribution[]): readonly Group[] {
    const { core, atWork, turns } = this;
    if (turns !== undefined) return core.groups;
    if (atWork.size === 0) return this.beginningNext();
    return samplesAhead(core) > 0 ? contributions.map(({ task }) => task.group).filter(({ ready }) => ready) : [];
  }

  private beginningNext(): readonly Group[] {
    const { core, strategy } = this;
    const shares = strategy.together === true && samplesAhead(core) > 0 ? nextShares(core, strategy, core.round + 1).shares : core.previousShares;
    return core.groups.filter(({ id }) => shares.get(id) !== 0);
  }

  private release({ release }: Decision): void {
    for (const { node, reason, late } of release) this.giveUp(this.oldest(node), reason, late);
  }

  /** Those whose contribution is worthless. */
  private dropBroken(): void {
    const { core } = this;
    if (!core.isSpoilt) return;
    core.isSpoilt = false;
    const worthless = this.tasksWhere(({ isWorthless }) => isWorthless);
    for (const task of worthless) {
      const { broken, nonFinite, reason } = task;
      if (!task.group.tasks.includes(task)) continue; // dropped with another one
      if (broken === undefined) {
        this.drop(task, NO_STEP);
        continue;
      }
      this.dropAll(task, reason);
      this.nonFinite.broken(task.group, nonFinite);
      if (broken.status !== 'lost') core.roster.strike(broken.member, reason);
    }
  }

  /** Who left between two tasks. */
  private dropGone(): void {
    const { core, turns } = this;
    for (const group of turns?.owing ?? []) {
      if (group.tasks.length === 0 && !core.groups.includes(group) && !group.finishing) this.lose(group, 'it left before all of it was sent');
    }
  }

  /** Who is to rest first brings home what it stepped and did not send. */
  private letGo(): void {
    const { core, turns } = this;
    for (const group of turns?.owing ?? []) {
      if (!group.finishing || group.tasks.length > 0) continue;
      this.open(bringHome(core, group, turns!));
      this.allHere = undefined;
    }
    core.roster.letGo(({ tasks }) => turns !== undefined && tasks.length > 0);
  }

  private giveUp(task: GroupTask, reason: string, late: boolean): void {
    const { core } = this;
    const { group, samples, startedAtMs, computedMs } = task;
    this.dropAll(task, reason);
    if (samples > 0) group.speed.missed({ samples, elapsedMs: core.clock.nowMs() - startedAtMs, computeMs: computedMs });
    if (!late) core.roster.missed(group, reason);
  }

  /**
   * What a group's stream brings home goes on from what it brought home before: when a contribution is not taken, the others that
   * are under way are not either, what it did not send of those before is lost, and it begins anew.
   */
  private dropAll(task: GroupTask, reason: string): void {
    const { group } = task;
    this.drop(task, reason);
    for (const other of group.tasks) this.drop(other, `the group begins anew: ${reason}`);
    this.lose(group, reason);
  }

  private drop(task: GroupTask, reason: string): void {
    this.close(task);
    this.turns?.leave(task.group);
    this.core.tasks.settle(task, { applied: 0, weight: 0, reason });
  }

  private lose(group: Group, reason: string): void {
    if (this.turns !== undefined) this.core.tasks.lose(group, this.turns.lost(group), reason);
  }

  private close(task: GroupTask): void {
    const { group } = task;
    group.tasks = group.tasks.length === 1 ? NO_TASKS : group.tasks.filter((one) => one !== task);
    if (group.tasks.length === 0) this.atWork.delete(group.place);
    group.rounds++;
    this.refused.clear();
    this.watchlist?.stir(group);
  }

  /** Where there is no deadline. Returns when to look again; undefined: at `wakeAtMs`. */
  private dropSilent(wakeAtMs: number | undefined): number | undefined {
    if (wakeAtMs !== undefined) return undefined;
    const { silent, nextMs } = silentAmong(this.atWork.values().map(({ tasks: [oldest] }) => oldest!), this.core.clock.nowMs());
    for (const { task, reason } of silent) this.giveUp(task, reason, false);
    return nextMs;
  }

  /** Groups that take part, and those at work that do so no more. */
  private concerned(): readonly Group[] {
    const { groups } = this.core;
    // Nobody leaves while they are the same.
    if (this.allHere === groups) return groups;
    this.refused.clear();
    const leaving = this.atWork.size === 0 ? [] : this.leaving(new Set(groups));
    if (leaving.length > 0) return [...new Set([...groups, ...leaving])];
    this.allHere = groups;
    return groups;
  }

  private leaving(here: ReadonlySet<Group>): readonly Group[] {
    return this.tasksWhere(({ group }) => !here.has(group)).map(({ group }) => group);
  }
}

const NO_STEP = 'called home before its first step';

/** Streams of steps are of workers that hold the whole model. */
function checkWhole({ groups }: RunCore, { name, fragments }: SyncStrategy): void {
  const pipeline = fragments === undefined ? undefined : groups.find(({ solo }) => !solo);
  if (pipeline === undefined) return;
  throw new LongtailError(`${name} needs workers that hold the whole model, and ${pipeline.id} is a pipeline of ${pipeline.name}`, {
    code: 'usage',
    where: 'sync.strategy',
    hint: 'Let workers with more memory join, or choose diloco, which pipelines take too.',
  });
}

function observeSpeed({ paces }: RunCore, { group, task, done, startedAtMs, endedAtMs, parts, passes, receives }: GroupTask): void {
  if (done === undefined || done.samples === 0) return;
  // What was prepared for new sizes is paid once: it says nothing of the next round.
  const { samples, computeMs, prepareMs } = done;
  for (const { member, done: own } of parts) paces.observe(member.node, samples * (passes?.fractionOf(member) ?? 1), own!.computeMs - own!.prepareMs);
  const inSteps = task.steps.length > 0;
  group.speed.delivered({ samples, computeMs: computeMs - prepareMs, elapsedMs: endedAtMs! - startedAtMs - prepareMs, receives, inSteps });
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}
