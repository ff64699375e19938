import type { Lease } from '@longtail/core';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';

/** What a contribution of fragments brings home. */
export interface Moved {
  /** That the move of each fragment is of. */
  readonly samples: ReadonlyMap<number, number>;
  /** Leases that are part of every fragment now. */
  readonly whole: readonly Lease[];
}

/** A group that is slower takes a step after so many all the same: then it is seen how slow it is. */
const MOST_ROUNDS_A_STEP = 100;

/** Steps of one task. */
interface Steps {
  readonly samples: number;
  readonly leases: readonly Lease[];
  /** Fragments that they are not part of yet. */
  readonly missing: Set<number>;
}

/**
 * Which fragment each round exchanges, what the groups stepped and did not send yet of each, and how far they are: a phase's
 * rounds are numbered, and every group goes through all of them.
 */
export class FragmentTurns {
  /** Rounds that a group is through with. */
  private readonly through = new Map<Group, number>();
  private readonly unsent = new Map<Group, readonly Steps[]>();
  private readonly stepsLeft = new Map<Group, number>();
  /** Fragments of a group's tasks since all of them were. */
  private readonly given = new Map<Group, readonly number[]>();
  /** In which all bring home what they did not send: each by itself, it would be an outer step of its own. */
  lastRound: number | undefined;

  constructor(
    readonly count: number,
    /** Number of the phase's first round. */
    private readonly first: number,
  ) {}

  /** Of the next task of a group that has so many open. */
  roundOf(group: Group, open: number): number {
    return this.first + (this.through.get(group) ?? 0) + open;
  }

  /** A group got no task for a round, or its task ended. */
  leave(group: Group): void {
    this.through.set(group, (this.through.get(group) ?? 0) + 1);
  }

  /** No steps are given any more; `round` comes after all that were. */
  endWith(round: number): void {
    this.lastRound ??= round;
  }

  fragmentOf(round: number): number {
    return round % this.count;
  }

  /**
   * The next task of a group that is to take `steps` a round on average and has so many tasks open: its round, the rounds that it
   * spans, and its whole steps. `dueBy` says how many it should have taken by the end of a round, beyond what is given; without
   * it, what was left of fractions is carried along. A group that has none to take yet skips rounds until it does, and to a
   * fragment that it did not bring home since it did the others: so none starves, whatever its steps and the number of fragments
   * have in common.
   */
  nextTask(group: Group, open: number, steps: number, dueBy?: (round: number) => number): { readonly round: number; readonly rounds: number; readonly steps: number } {
    const average = Math.max(steps, 1 / MOST_ROUNDS_A_STEP);
    const carried = this.stepsLeft.get(group) ?? 0;
    const before = this.given.get(group) ?? [];
    const given = before.length === this.count ? [] : before;
    let round = this.roundOf(group, open);
    let rounds = 1;
    const due = () => dueBy?.(round) ?? carried + rounds * average;
    const skip = () => {
      this.leave(group);
      round++;
      rounds++;
    };
    // Who takes one a round or more is late for a while rather than left out.
    while ((average < 1 && rounds < MOST_ROUNDS_A_STEP && due() < 1 - 1e-9) || given.includes(this.fragmentOf(round))) skip();
    const whole = Math.max(1, Math.floor(due() + 1e-9));
    this.stepsLeft.set(group, Math.max(0, due() - whole));
    this.given.set(group, [...given, this.fragmentOf(round)]);
    return { round, rounds, steps: whole };
  }

  /** Fragments of which it has steps that it did not send. */
  owedBy(group: Group): readonly number[] {
    const owed = new Set(this.stepsOf(group).flatMap(({ missing }) => [...missing]));
    return [...owed].sort((a, b) => a - b);
  }

  /** A task's contribution is taken: its fragments are part of the commit, with all steps that they were not sent with before. */
  taken(task: GroupTask): Moved {
    const { group } = task;
    this.leave(group);
    const steps = [...this.stepsOf(group)];
    const fragments = task.task.parts.map(({ segment }) => segment);
    if (task.done!.samples > 0) {
      const missing = new Set(Array.from({ length: this.count }, (_, fragment) => fragment));
      steps.push({ samples: task.done!.samples, leases: task.leases.slice(0, task.leasesDone), missing });
    }
    const samples = new Map(fragments.map((fragment) => [fragment, sum(steps.filter(({ missing }) => missing.delete(fragment)))]));
    this.unsent.set(
      group,
      steps.filter(({ missing }) => missing.size > 0),
    );
    return { samples, whole: steps.filter(({ missing }) => missing.size === 0).flatMap(({ leases }) => leases) };
  }

  /** Samples of steps that groups took and did not send of a fragment. */
  unsentOf(fragment: number): number {
    return sum([...this.unsent.values()].flat().filter(({ missing }) => missing.has(fragment)));
  }

  /** A group begins anew, or is gone: leases of steps that are part of some fragments, and will not be of the others. */
  lost(group: Group): readonly Lease[] {
    const leases = this.stepsOf(group).flatMap((steps) => steps.leases);
    this.unsent.delete(group);
    return leases;
  }

  /** Those that have steps which they did not send. */
  get owing(): readonly Group[] {
    return [...this.unsent.keys()].filter((group) => this.stepsOf(group).length > 0);
  }

  private stepsOf(group: Group): readonly Steps[] {
    return this.unsent.get(group) ?? [];
  }
}

function sum(steps: readonly Steps[]): number {
  return steps.reduce((total, { samples }) => total + samples, 0);
}
