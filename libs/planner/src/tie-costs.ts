import type { MeasuredCluster } from '@longtail/core';
import { SUM_BITS } from './gradient-sums.js';
import type { StageDraft } from './group-draft.js';
import type { HopWay, Links, Way } from './links.js';
import type { StageCosts } from './stage-costs.js';
import type { Ties } from './ties.js';

/** What it takes, in milliseconds, that stages send each other their gradients of what they share. */
export class TieCosts {
  /** Values that the first stage and the last share, wherever the model is cut. */
  private readonly leastTied: number;

  constructor(
    private readonly ties: Ties,
    private readonly links: Links,
    private readonly cluster: MeasuredCluster,
    costs: StageCosts,
  ) {
    const { blocks } = costs;
    const cuts = Array.from({ length: blocks - 1 }, (_, i) => i + 1).filter((at) => costs.canCut(at));
    this.leastTied = cuts.length === 0 ? 0 : ties.values({ start: 0, end: cuts[0]! }, { start: cuts.at(-1)!, end: blocks });
  }

  /**
   * Of an inner step: two stages of a pipeline that step for themselves send each other, at the same time, their gradients of what both read,
   * and wait for them. Their replicas go side by side, as many as the smaller of the two has.
   */
  between(way: HopWay, one: StageDraft, other: StageDraft): number {
    const values = this.ties.values(one, other);
    if (values === 0) return 0;
    const bits = 1000 * SUM_BITS * values * Math.min(one.devices.length, other.devices.length);
    return Math.max(way.forwardDelayMs + bits / way.forwardBitsPerSecond, way.backwardDelayMs + bits / way.backwardBitsPerSecond);
  }

  /** … of all of them: each holder more of what is shared is one more message for the others. */
  ofStages(stages: readonly StageDraft[]): number {
    if (this.ties.none || stages.length === 1) return 0;
    let sum = 0;
    for (let s = 0; s < stages.length - 1; s++) {
      const stage = stages[s]!;
      let most = 0;
      for (let behind = s + 1; behind < stages.length; behind++) {
        const other = stages[behind]!;
        // One device that holds both has one copy.
        if (other.devices[0] === stage.devices[0] || this.ties.values(stage, other) === 0) continue;
        most = Math.max(most, this.between(this.links.between(stage.devices, other.devices), stage, other));
      }
      sum += most;
    }
    return sum;
  }

  /** What the first stage of a pipeline and the last send each other of what they share takes no less over a way that is no better than this. */
  least({ bitsPerSecond, delayMs }: Omit<Way, 'direct'>): number {
    return this.leastTied === 0 ? 0 : delayMs + (1000 * SUM_BITS * this.leastTied) / bitsPerSecond;
  }

  /** … where the device is one of the two; and wherever they are. */
  leastOf(device: number): number {
    return this.leastTied === 0 ? 0 : this.least(this.links.bestOf(device));
  }

  /** … to a stage that it reaches through the server. */
  leastRelayedOf(device: number): number {
    const { upBitsPerSecond, roundTripMs } = this.cluster.devices[device]!;
    return this.least({ bitsPerSecond: upBitsPerSecond, delayMs: roundTripMs / 2 });
  }

  leastAnywhere(): number {
    return Math.min(...this.cluster.devices.map((_, device) => this.leastOf(device)));
  }
}
