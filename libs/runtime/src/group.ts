import { bringerOf, joinLayouts, type GroupLayout, type GroupState, type ParameterLayout } from '@longtail/core';
import type { Member } from './member.js';
import type { GroupTask } from './group-task.js';
import type { SharedLine } from './shared-line.js';
import { effectiveSamplesPerSecond, Speed } from './speed.js';

export const NO_TASKS: readonly GroupTask[] = [];

/** Workers that hold one replica of the model between them; alone, one is solo. As it stands a strategy sees it. */
export class Group implements GroupState {
  speed = Speed.measured(0);
  /** Samples a second of evaluation; undefined before the first. */
  evaluationSpeed: number | undefined;
  /** Tasks that were committed or given up since the groups changed last. */
  rounds = 0;
  /** Of the rounds under way, the oldest first … */
  private underWay: readonly GroupTask[] = NO_TASKS;
  /** … by itself: asked for all the time, of thousands. */
  private oldest: GroupTask | undefined;
  /** Among the groups at work, while it is one of them. */
  place = 0;
  /** Missed deadlines in a row. */
  misses = 0;
  /** Of its members when they were asked for first. */
  private uplinks: ReadonlyMap<Member, number> | undefined;
  /** Who holds each stage: several are its replicas. */
  readonly stages: readonly (readonly Member[])[];

  /** `id` of a solo worker's is its node. */
  constructor(
    readonly id: string,
    readonly plan: GroupLayout,
    /** In the order of the first stage that each holds. */
    readonly members: readonly Member[],
  ) {
    this.stages = plan.stages.map(({ nodes }) => nodes.map((node) => members.find((member) => member.node === node)!));
  }

  get node(): string {
    return this.id;
  }

  get tasks(): readonly GroupTask[] {
    return this.underWay;
  }
  set tasks(tasks: readonly GroupTask[]) {
    this.underWay = tasks;
    this.oldest = tasks[0];
  }

  get task(): GroupTask | undefined {
    return this.oldest;
  }

  get queued(): number {
    return Math.max(0, this.tasks.length - 1);
  }

  get solo(): boolean {
    return this.members.length === 1;
  }

  /** For people. */
  get name(): string {
    return this.members.map(({ name }) => name).join(' + ');
  }

  /** Nobody of it is gone or was given another place. */
  get intact(): boolean {
    return this.members.every((member) => member.group === this && member.state !== 'gone' && member.state !== 'failed');
  }

  /** Every worker takes part. */
  get ready(): boolean {
    return this.members.every((member) => member.group === this && member.state === 'ready');
  }

  /** Nobody of it is lost, but somebody is to rest once the tasks at hand are done. */
  get finishing(): boolean {
    return this.members.some(({ state }) => state === 'finishing') && this.intact;
  }

  /** Every worker says that it is ready; the run has not looked at them yet. */
  get prepared(): boolean {
    return this.members.every((member) => member.group === this && member.state === 'prepared');
  }

  get busy(): boolean {
    return this.members.some(({ workload }) => workload.any);
  }

  get samplesPerSecond(): number {
    return effectiveSamplesPerSecond(this.speed);
  }

  /** The stages that a member holds, in order. */
  stagesOf(member: Member): readonly number[] {
    return [...this.stages.keys()].filter((stage) => this.stages[stage]!.includes(member));
  }

  /** The members that hold a segment. */
  holdersOf(index: number): readonly Member[] {
    return this.members.filter(({ segments }) => segments.some(({ segment }) => segment.index === index));
  }

  /** Of these the one that brings it home after local steps; always the same, as codecs leave something for the next time. */
  bringerOf(index: number): Member {
    this.uplinks ??= new Map(this.members.map((member) => [member, member.link.upBitsPerSecond]));
    return bringerOf(this.holdersOf(index), (member) => this.uplinks!.get(member)!);
  }

  /** What the workers measured while they prepared: replicas share the work, and a pipeline is as fast as its slowest stage. */
  get measuredSamplesPerSecond(): number {
    return Math.min(...this.stages.map((holders) => holders.reduce((sum, { prepared }) => sum + prepared!.ready.samplesPerSecond, 0)));
  }

  /** `line`: that all groups exchange over. */
  begin(line: SharedLine): void {
    const { expected } = this.plan;
    this.speed = expected === undefined ? Speed.measured(this.measuredSamplesPerSecond, line) : Speed.planned(expected, line);
  }

  /** Of the whole model; every member is prepared. */
  layout(): ParameterLayout {
    return joinLayouts(this.stages.map(([holder], stage) => holder!.layoutOf(stage)));
  }
}

/** Groups by their ids, made anew where they are others than those asked for last. */
export class GroupIndex {
  private of: readonly Group[] = [];
  private groups: ReadonlyMap<string, Group> = new Map();

  /** One of them. */
  find(among: readonly Group[], id: string): Group {
    if (this.of !== among) {
      this.of = among;
      this.groups = new Map(among.map((group) => [group.id, group]));
    }
    return this.groups.get(id)!;
  }
}
