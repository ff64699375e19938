import { LongtailError, stepBatchOf, type Action, type Schedule } from '@longtail/core';
import type { Task } from '@longtail/protocol';
import { deal } from './deal.js';
import type { Group } from './group.js';
import type { Member } from './member.js';
import type { RunCore } from './run-core.js';
import { equalTimings, measuredTimings } from './stage-timings.js';

/** How a group goes through the microbatches of a task: who does what, in which order. */
export class Passes {
  readonly microbatch: number;
  /** For each stage who takes each microbatch. */
  private readonly takers: readonly (readonly Member[])[];

  constructor(
    private readonly group: Group,
    private readonly samples: number,
    /** For each stage what a worker that holds it does, as if it had no replicas. */
    private readonly lists: readonly (readonly Action[])[],
    /** Most microbatches that a worker of each stage holds between forward and backward. */
    room: readonly number[],
  ) {
    this.microbatch = group.plan.microbatch;
    this.takers = lists.map((list, stage) => {
      const holders = group.stages[stage]!;
      const replicas = holders.map(({ prepared }) => ({ speed: prepared!.ready.samplesPerSecond, room: room[stage]! }));
      return deal(list, replicas).map((i) => holders[i]!);
    });
  }

  /** Who takes a microbatch through a stage; undefined where there is no such pass. */
  taker(stage: number, microbatch: number): Member | undefined {
    return this.takers[stage]?.[microbatch];
  }

  /** Samples that pass through the member. */
  samplesOf(member: Member): number {
    const takers = this.takers[this.group.stagesOf(member)[0]!]!;
    const sizes = takers.map((taker, i) => (taker === member ? Math.min(this.microbatch, this.samples - i * this.microbatch) : 0));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Of the samples. */
  fractionOf(member: Member): number {
    return this.samplesOf(member) / this.samples;
  }

  /** What a member does in which order, and who takes each output further. */
  actionsOf(member: Member): Task['actions'] {
    const list = this.lists[this.group.stagesOf(member)[0]!]!;
    return list
      .filter(({ stage, microbatch }) => this.taker(stage, microbatch) === member)
      .map((action) => ({ ...action, to: this.receiver(action)?.worker ?? 0 }));
  }

  private receiver({ op, stage, microbatch }: Action): Member | undefined {
    return op === 'W' ? undefined : this.taker(stage + (op === 'F' ? 1 : -1), microbatch);
  }
}

/**
 * Forward and backward passes of so many samples; undefined: a solo worker does them all at once.
 * @throws LongtailError `usage` when this server does not have the schedule
 */
export function passesOf(core: RunCore, group: Group, samples: number): Passes | undefined {
  return group.solo ? undefined : pipelinePasses(core, group, samples);
}

function pipelinePasses(core: RunCore, group: Group, samples: number): Passes {
  // The workers made room for these many, whatever was measured since.
  const room = group.stages.map((_, stage) => stashCapOf(core, group, stage));
  const schedule = scheduleOf(core, group, together(group, room));
  return new Passes(group, samples, listsOf(schedule, group, samples), room);
}

/** The forward passes alone; undefined for a solo worker. Leaving actions out of orders that cannot deadlock leaves orders that cannot. */
export function forwardPassesOf(core: RunCore, group: Group, samples: number): Passes | undefined {
  if (group.solo) return undefined;
  const lists = listsOf(scheduleOf(core, group), group, samples).map((list) => list.filter(({ op }) => op === 'F'));
  return new Passes(
    group,
    samples,
    lists,
    group.stages.map(() => Infinity),
  );
}

function listsOf(schedule: Schedule, group: Group, samples: number): readonly (readonly Action[])[] {
  const { microbatch, timings = measuredTimings(group) } = group.plan;
  return group.stages.map((_, stage) => schedule.actions(rankOf(schedule, group, stage), timings, Math.ceil(samples / microbatch)));
}

/** Of the worker that holds the stage, as a schedule counts workers. */
function rankOf({ chunks }: Schedule, { stages }: Group, stage: number): number {
  return stage % (stages.length / chunks);
}

/**
 * Most microbatches that a worker of the stage holds at once: those planned with, else what the whole batch takes, of which
 * each replica holds an equal share. Asked before anything was measured.
 */
export function stashCapOf(core: RunCore, group: Group, stage: number): number {
  const { microbatch, timings = equalTimings(group), maxStash } = group.plan;
  const schedule = scheduleOf(core, group, maxStash && together(group, maxStash));
  const needed = schedule.stashCap(rankOf(schedule, group, stage), timings, Math.ceil(stepBatchOf(core.job) / microbatch));
  return Math.max(Math.ceil(needed / group.stages[stage]!.length), maxStash?.[stage] ?? 0);
}

/** What the workers of each stage have room for between them. */
function together({ stages }: Group, room: readonly number[]): readonly number[] {
  return room.map((each, stage) => each * stages[stage]!.length);
}

function scheduleOf({ dependencies }: RunCore, group: Group, maxStash?: readonly number[]): Schedule {
  const name = group.plan.schedule;
  const chunks = chunksOf(group);
  const schedule = dependencies.schedule?.(name, { chunks, maxStash });
  if (schedule === undefined) throw unusable(`this server has no schedule ${name}`, 'cluster.schedule');
  if (schedule.chunks !== chunks)
    throw unusable(`the schedule ${name} has ${schedule.chunks} stages a worker, ${group.name} hold ${chunks}`, 'cluster.schedule');
  return schedule;
}

/** Stages that each worker of the group holds. */
function chunksOf(group: Group): number {
  const { name, stages, members } = group;
  const chunks = stages.length / members.length;
  const inTurn = stages.every((holders, stage) => holders.length === 1 && holders[0] === members[stage % members.length]);
  if (inTurn && Number.isInteger(chunks)) return chunks;
  if (members.every((member) => group.stagesOf(member).length === 1)) return 1;
  throw unusable(
    `of p workers that hold several stages each, stage s must be on worker s mod p alone: that of ${name} is another layout`,
    'cluster.layout',
  );
}

function unusable(message: string, where: string): LongtailError {
  return new LongtailError(message, { code: 'usage', where });
}
