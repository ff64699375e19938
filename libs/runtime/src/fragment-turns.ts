import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';

/** Samples that a contribution's move of each fragment is of. */
export type MovedSamples = ReadonlyMap<number, number>;

/**
 * Which fragment each round exchanges, what the groups stepped and did not send yet of each, and how far they are: a phase's
 * rounds are numbered, and every group goes through all of them.
 */
export class FragmentTurns {
  /** Rounds that a group is through with. */
  private readonly through = new Map<Group, number>();
  private readonly unsent = new Map<Group, number[]>();
  private readonly stepsLeft = new Map<Group, number>();

  constructor(
    readonly count: number,
    /** Number of the phase's first round. */
    private readonly first: number,
  ) {}

  /** Of the next task of a group that has so many open. */
  roundOf(group: Group, open: number): number {
    return this.first + (this.through.get(group) ?? 0) + open;
  }

  /** A group got no task for a round, or it ended. */
  leave(group: Group): void {
    this.through.set(group, (this.through.get(group) ?? 0) + 1);
  }

  fragmentOf(round: number): number {
    return round % this.count;
  }

  /** Whole steps for a group that is to take `steps` on average, at least one. */
  wholeSteps(group: Group, steps: number): number {
    const due = steps + (this.stepsLeft.get(group) ?? 0);
    const whole = Math.max(1, Math.floor(due + 1e-9));
    this.stepsLeft.set(group, due - whole);
    return whole;
  }

  /** Fragments of which it has steps that it did not send. */
  owedBy(group: Group): readonly number[] {
    return [...(this.unsent.get(group) ?? []).keys()].filter((fragment) => this.of(group)[fragment]! > 0);
  }

  /** A task ended: what its fragments bring home is sent, or given up by the group too. */
  ended({ group, done, status, task }: GroupTask): MovedSamples {
    this.leave(group);
    const unsent = this.of(group);
    // A group that is called off in the midst of its steps, or fails, begins anew.
    if (done === undefined || status === 'failed') unsent.fill(0);
    else for (let fragment = 0; fragment < this.count; fragment++) unsent[fragment]! += done.samples;
    const moved = new Map(task.parts.map(({ segment }) => [segment, unsent[segment]!]));
    for (const fragment of moved.keys()) unsent[fragment] = 0;
    return moved;
  }

  private of(group: Group): number[] {
    let unsent = this.unsent.get(group);
    if (unsent === undefined) this.unsent.set(group, (unsent = new Array<number>(this.count).fill(0)));
    return unsent;
  }
}
