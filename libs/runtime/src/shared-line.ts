import { median, weightedMedian } from '@longtail/core';

/** Latest rounds in whose number of groups there was a difference to learn from. */
const WINDOW = 5;

/**
 * What groups take from each other when they exchange at once, over a line that several are behind or over the server's own: each
 * that takes part makes everybody's exchange longer by about as much. It shows where one round has more groups than the one before.
 */
export class SharedLine {
  /** For each group that exchanges. */
  msEach = 0;
  /** Groups that exchange at once, as a rule. */
  groups = 1;
  /** Of the latest rounds with a difference, side by side: what each group adds, and how large the difference was. */
  private readonly slopes: number[] = [];
  private readonly differences: number[] = [];
  private readonly bounds: number[] = [];
  /** Of a round's groups. */
  private readonly exchanges: number[] = [];
  private readonly seen = { slopes: [] as number[], differences: [] as number[] };

  /** A group's exchange; `before`: its last one, where so many groups exchanged. */
  observe(ms: number, before?: { readonly ms: number; readonly groups: number }): void {
    this.exchanges.push(ms);
    if (before === undefined || before.groups === this.groups) return;
    this.seen.slopes.push((ms - before.ms) / (this.groups - before.groups));
    this.seen.differences.push(Math.abs(this.groups - before.groups));
  }

  /**
   * The round is over. Of its groups the median counts, and of rounds the median too, by how much they differ (Theil 1950, Sen 1968; weighted
   * as by Sievers 1978): a single one that was held up moves little. All that groups add is no more than an exchange takes.
   */
  settle(): void {
    const { exchanges, seen, slopes, differences, bounds } = this;
    if (exchanges.length === 0) return;
    keep(bounds, median(exchanges) / this.groups);
    if (seen.slopes.length > 0) {
      keep(slopes, weightedMedian(seen.slopes, seen.differences));
      keep(differences, median(seen.differences));
    }
    exchanges.length = seen.slopes.length = seen.differences.length = 0;
    if (slopes.length > 0) this.msEach = Math.max(0, Math.min(weightedMedian(slopes, differences), median(bounds)));
  }
}

function keep(window: number[], value: number): void {
  if (window.length === WINDOW) window.shift();
  window.push(value);
}
