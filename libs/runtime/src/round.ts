import type { Decision, RoundState, SyncStrategy, TaskState } from '@longtail/core';
import { commitRound } from './commit.js';
import { NonFiniteWatch } from './divergence.js';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';
import { handOut, samplesAhead } from './hand-out.js';
import { patienceWith } from './patience.js';
import type { RunCore } from './run-core.js';
import { afterDelivery, afterMiss, expectedMs } from './speed.js';

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
  do await rounds.advance(context);
  while (rounds.underWay);
}

class Rounds {
  private readonly open = new Map<string, GroupTask>();
  private readonly nonFinite: NonFiniteWatch;
  private ending = false;

  constructor(
    private readonly core: RunCore,
    private readonly strategy: SyncStrategy,
  ) {
    this.nonFinite = new NonFiniteWatch(core);
  }

  get underWay(): boolean {
    return this.open.size > 0;
  }

  /** One look at how everybody stands; waits where there is nothing to do. */
  async advance(context: RoundsContext): Promise<void> {
    const { core, open } = this;
    const begins = !this.underWay;
    this.dropBroken();
    if (!begins && !this.underWay) return this.nonFinite.nobodyLeft();
    const decision = this.strategy.decide(this.state(), core.clock.nowMs());
    this.release(decision);
    if (decision.commit.length > 0) return this.commit(decision);
    if (!begins && !this.underWay) return this.nonFinite.nobodyLeft();
    for (const node of decision.recall) core.tasks.recall(open.get(node)!);
    if (await this.handOut(decision.proceed, context)) return context.meanwhile();
    if (this.underWay) await core.wait(earliest(decision.wakeAtMs, this.dropSilent(decision.wakeAtMs)));
  }

  /** Whether anybody got a task. */
  private async handOut(nodes: readonly string[], { mustEnd }: RoundsContext): Promise<boolean> {
    const { core, open } = this;
    const groups = core.groups.filter(({ id }) => nodes.includes(id));
    if (groups.length === 0 || samplesAhead(core) === 0) return false;
    this.ending ||= mustEnd();
    const tasks = this.ending ? [] : await handOut(core, groups, this.strategy.localSteps);
    for (const task of tasks) open.set(task.group.id, task);
    return tasks.length > 0;
  }

  private async commit({ commit, stepScale, reason }: Decision): Promise<void> {
    const { core, open } = this;
    const contributions = commit.map(({ node, weight }) => ({ task: open.get(node)!, weight }));
    for (const { task } of contributions) {
      observeSpeed(core, task);
      this.close(task);
    }
    const atWork = new Set(open.keys());
    await commitRound(core, contributions, { stepScale, reason, local: this.strategy.localSteps !== undefined }, atWork);
    this.nonFinite.committed();
  }

  private release({ release }: Decision): void {
    for (const { node, reason, late } of release) this.giveUp(this.open.get(node)!, reason, late);
  }

  /** Those whose contribution is worthless. */
  private dropBroken(): void {
    const { core } = this;
    for (const task of [...this.open.values()]) {
      const { broken, nonFinite, reason } = task;
      const idle = task.status === 'delivered' && task.task.kind === 'DELTA' && task.done!.steps === 0;
      if (broken === undefined && !idle) continue;
      this.close(task);
      core.tasks.settle(task, { applied: 0, weight: 0, reason: idle ? NO_STEP : reason });
      if (broken === undefined) continue;
      this.nonFinite.broken(task.group, nonFinite);
      if (broken.status !== 'lost') core.roster.strike(broken.member, reason);
    }
  }

  private giveUp(task: GroupTask, reason: string, late: boolean): void {
    const { core } = this;
    const { group, samples, sentAtMs } = task;
    this.close(task);
    core.tasks.settle(task, { applied: 0, weight: 0, reason });
    group.speed = afterMiss(group.speed, samples, core.clock.nowMs() - sentAtMs);
    if (!late) core.roster.missed(group, reason);
  }

  private close({ group }: GroupTask): void {
    this.open.delete(group.id);
    group.rounds++;
  }

  /**
   * In a first round there is no deadline yet, but who is done delivers, and who has its parameters gets done, or is dropped.
   * Returns when to look again; undefined: when something comes.
   */
  private dropSilent(wakeAtMs: number | undefined): number | undefined {
    if (wakeAtMs !== undefined) return undefined;
    const nowMs = this.core.clock.nowMs();
    let nextMs: number | undefined;
    for (const task of [...this.open.values()]) {
      const limit = patienceWith(task);
      if (limit === undefined) continue;
      nextMs = earliest(nextMs, limit.untilMs);
      if (nowMs >= limit.untilMs) this.giveUp(task, limit.reason, false);
    }
    return nextMs;
  }

  private state(): RoundState {
    const { round, version, roundSamples } = this.core;
    const members = this.members().map((group) => {
      const task = this.open.get(group.id);
      return { node: group.id, rounds: group.rounds, task: task && standing(task) };
    });
    return { round, version, roundSamples, members };
  }

  /** Groups that take part, and those at work that do so no more. */
  private members(): readonly Group[] {
    const { groups } = this.core;
    const leaving = [...this.open.values()].map(({ group }) => group).filter((group) => !groups.includes(group));
    return [...groups, ...leaving];
  }
}

const NO_STEP = 'called home before its first step';

function observeSpeed({ paces }: RunCore, { group, done, sentAtMs, endedAtMs, parts, passes }: GroupTask): void {
  for (const { member, done: own } of parts) paces.observe(member.node, done!.samples * (passes?.fractionOf(member) ?? 1), own!.computeMs);
  group.speed = afterDelivery(group.speed, { samples: done!.samples, computeMs: done!.computeMs, elapsedMs: endedAtMs! - sentAtMs });
}

function standing({ group, samples, sentAtMs, status, endedAtMs, task, recalled }: GroupTask): TaskState {
  return {
    samples,
    startedAtMs: sentAtMs,
    expectedMs: expectedMs(group.speed, samples),
    deliveredAtMs: status === 'delivered' ? endedAtMs : undefined,
    baseVersion: task.version,
    recalled,
  };
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}
