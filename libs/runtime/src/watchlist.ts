import { median, Ranking, type FleetState } from '@longtail/core';
import type { Group } from './group.js';

/** What is usual is found out anew when so many looks were at one group as make up this part of the groups. */
const RENEWED = 1 / 8;

/**
 * Whom a strategy is to look at that decides about each group apart: with thousands of groups, of which one delivers, a look at all of
 * them takes longer than all else. What it is told of the others is as they stood when they were looked at last.
 */
export class Watchlist implements FleetState {
  private all: readonly Group[] = [];
  private ranks: ReadonlyMap<Group, number> = new Map();
  /** That may stand otherwise, by their ranks. */
  private readonly stirred = new Set<number>();
  /** Who may not go on before the slowest have, which stood there then. */
  private readonly held = new Set<number>();
  private heldAt = 0;
  /** Who is at work, and when to look at it all the same. */
  private due = new Ranking();
  /** Clocks by ranks; the least of them, and how many groups stand there: 0: to be looked up. */
  private clocks: number[] = [];
  private least = 0;
  private behind = 0;
  private usual: number | undefined;
  /** Looks at one group before it is found out anew. */
  private lasting = 0;

  get groups(): number {
    return this.all.length;
  }

  get leastRounds(): number {
    if (this.behind > 0) return this.least;
    this.least = this.clocks.reduce((least, rounds) => Math.min(least, rounds), Infinity);
    this.behind = this.clocks.filter((rounds) => rounds === this.least).length;
    return this.least;
  }

  get usualMs(): number | undefined {
    if (this.lasting > 0) return this.usual;
    const expected = this.all.map(({ task }) => task?.expectedMs).filter((ms) => ms !== undefined);
    this.usual = expected.length === 0 ? undefined : median(expected);
    this.lasting = RENEWED * this.all.length;
    return this.usual;
  }

  /** When there is somebody to look at; undefined: when something happens. */
  get wakeAtMs(): number | undefined {
    return this.due.size === 0 ? undefined : this.due.firstKey;
  }

  /** It got a task, or one of its tasks ended. */
  stir(group: Group): void {
    const rank = this.ranks.get(group);
    if (rank === undefined) return;
    this.stirred.add(rank);
    this.held.delete(rank);
  }

  /** Those to look at now, in the order of `groups`: all of them, where they are others than before. */
  look(groups: readonly Group[], nowMs: number): readonly Group[] {
    if (groups !== this.all) this.begin(groups);
    for (let rank = this.due.first; rank !== undefined && this.due.firstKey <= nowMs; rank = this.due.first) {
      this.due.remove(rank);
      this.stirred.add(rank);
    }
    for (const rank of this.stirred) this.follow(rank);
    if (this.held.size > 0 && this.leastRounds !== this.heldAt) this.letLook();
    const ranks = [...this.stirred].sort((a, b) => a - b);
    this.lasting -= ranks.length;
    return ranks.map((rank) => groups[rank]!);
  }

  /**
   * They were decided about. Who is at work is let be until something comes of it, or `wakeAtMs`; who is not among those who `proceed`,
   * until the slowest have gone on. `proceed`, by ids: undefined where that was not decided.
   */
  decided(wakeAtMs: number | undefined, proceed?: ReadonlySet<string>): void {
    for (const rank of this.stirred) {
      const { task, id } = this.all[rank]!;
      this.due.remove(rank);
      if (task === undefined && proceed?.has(id) === false) this.hold(rank);
      if (task === undefined || task.deliveredAtMs !== undefined) continue;
      if (wakeAtMs !== undefined) this.due.add(rank, wakeAtMs);
      this.stirred.delete(rank);
    }
  }

  private hold(rank: number): void {
    this.heldAt = this.leastRounds;
    this.held.add(rank);
    this.stirred.delete(rank);
  }

  private letLook(): void {
    for (const rank of this.held) this.stirred.add(rank);
    this.held.clear();
  }

  private begin(groups: readonly Group[]): void {
    this.all = groups;
    this.ranks = new Map(groups.map((group, rank) => [group, rank]));
    this.clocks = groups.map(({ rounds }) => rounds);
    this.due = new Ranking();
    this.behind = this.lasting = 0;
    this.stirred.clear();
    this.held.clear();
    for (const rank of groups.keys()) this.stirred.add(rank);
  }

  private follow(rank: number): void {
    const { rounds } = this.all[rank]!;
    const before = this.clocks[rank]!;
    if (rounds === before) return;
    this.clocks[rank] = rounds;
    if (rounds < this.least) this.behind = 0;
    else if (before === this.least) this.behind--;
  }
}
