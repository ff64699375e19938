import type { GroupLayout, ParameterLayout } from '@longtail/core';
import type { Member } from './member.js';
import { wholeLayout } from './segments.js';
import { effectiveSamplesPerSecond, initialSpeed, type Speed } from './speed.js';

/** Workers that hold one replica between them, a stage each; a group of one is solo. */
export class Group {
  speed: Speed = initialSpeed(0);
  /** Samples a second of evaluation; undefined before the first. */
  evaluationSpeed: number | undefined;
  /** Missed deadlines in a row. */
  misses = 0;

  /** `id` of a solo worker's is its node. */
  constructor(
    readonly id: string,
    readonly plan: GroupLayout,
    /** In the order of the stages. */
    readonly members: readonly Member[],
  ) {}

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

  /** Every stage takes part. */
  get ready(): boolean {
    return this.members.every((member) => member.group === this && member.state === 'ready');
  }

  /** Every stage says that it is ready; the run has not looked at them yet. */
  get prepared(): boolean {
    return this.members.every((member) => member.group === this && member.state === 'prepared');
  }

  get busy(): boolean {
    return this.members.some(({ assignments }) => assignments.size > 0);
  }

  get samplesPerSecond(): number {
    return effectiveSamplesPerSecond(this.speed);
  }

  /** What the stages measured while they prepared: a pipeline is as fast as its slowest stage. */
  begin(): void {
    this.speed = initialSpeed(Math.min(...this.members.map(({ ready }) => ready!.samplesPerSecond)));
  }

  /** Of the whole model; every member is prepared. */
  layout(): ParameterLayout {
    return wholeLayout(this.members.map(({ layout }) => layout!));
  }
}
