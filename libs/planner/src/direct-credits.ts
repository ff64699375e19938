import type { DeviceBound, Pace, SiteBound } from './device-bounds.js';
import type { Scenario } from './rounds.js';

/** Credits of devices in groups without a relayed hop, in rounds of a given time. Weighed so often that no closure is made for it. */
export class DirectCredits {
  /** Of the device at hand: its exchange but for what grows with its part of the work, that of all of the work, and the least of it. */
  private roundTripMs = NaN;
  private spreadMs = NaN;
  private sumsMs = NaN;
  private hopsMs = NaN;

  constructor(
    private readonly roundMs: number,
    private readonly scenario: Scenario,
    private readonly steps: number,
  ) {}

  /** Milliseconds of an inner step that an exchange of so long leaves. */
  left(tailMs: number): number {
    const { alone, sharedMs } = this.scenario;
    return Math.max(0, this.roundMs - (alone ? 0 : Math.max(tailMs, sharedMs))) / this.steps;
  }

  /**
   * Credit of a device in groups whose links are direct. With T what exchange and hops leave of a round to an inner step, l the
   * device's time for the whole model a sample and r = 1 / l, w the largest part of the work that its memory holds, f ≤ w the part it
   * gets, n the group's samples and b its microbatch: T r − b (1 − f), where T r < b no more than b w. In a pipeline T ≥ b Σ f l +
   * (n − b) max f l, so n ≤ Σ (f b + y (T r − b)) with y = f l / max f l; among p devices y ≤ f R / r for R of the device and the
   * p − 1 fastest beside it. T has lost p − 1 hops and the exchange of f of the model. The p and f that give most count. A stage of
   * replicas is one of f l the mean over its replicas, since its slowest has the latency.
   */
  of(bound: DeviceBound, site: SiteBound): number {
    if (!site.direct) return 0;
    let most = this.wide(bound, site, this.steps * site.leastSumMs);
    this.sumsMs = 0;
    for (let others = 0; others < site.hopsMs.length; others++) {
      this.hopsMs = site.hopsMs[others]!;
      for (let p = 0; p < bound.paces.length; p++) most = Math.max(most, this.creditAt(bound.paces[p]!, site.rates[p]![others]!, 0));
    }
    return most;
  }

  /** … in those that have stages with replicas, which take so much of a round for their sums: a stage's exchange comes after its own sums only. */
  wide(bound: DeviceBound, site: SiteBound, sumsMs: number, elsewhere = 0): number {
    if (!site.direct) return 0;
    let most = Math.max(0, this.left(site.replicasTailMs) - site.replicasSumMs) / bound.soloMs;
    this.roundTripMs = bound.roundTripMs;
    this.spreadMs = bound.spreadMs;
    this.sumsMs = sumsMs;
    this.hopsMs = site.wideHopMs;
    const bend = bound.spreadMs > 0 ? sumsMs / bound.spreadMs : 0;
    for (let p = 0; p < bound.paces.length; p++) most = Math.max(most, this.creditAt(bound.paces[p]!, site.rates[p]!.at(-1)! + elsewhere, bend));
    return most;
  }

  /** `bend`: the part from which on time falls faster. */
  private creditAt(pace: Pace, others: number, bend: number): number {
    const { microbatch, msPerSample, held } = pace;
    if (held <= 0) return 0;
    const rate = 1 / msPerSample;
    const atMost = this.samplesWith(0, rate);
    if (atMost < microbatch) return Math.min(atMost, microbatch * held);
    // With less it is not busy all of the time, with more it pays more exchange; unless its exchange is so long that even less is better.
    const even = Math.min(held, rate / (rate + others));
    if (this.samplesWith(2 * even, rate) < microbatch * (1 - even)) return atMost;
    return Math.max(this.creditWith(even, pace, rate), this.creditWith(held, pace, rate), this.creditWith(Math.min(held, Math.max(even, bend)), pace, rate));
  }

  private samplesWith(part: number, rate: number): number {
    return Math.max(0, this.left(this.roundTripMs + Math.max(this.sumsMs, part * this.spreadMs)) - this.hopsMs) * rate;
  }

  private creditWith(part: number, { microbatch, held }: Pace, rate: number): number {
    const samples = this.samplesWith(part, rate);
    return samples < microbatch ? microbatch * held : samples - microbatch * (1 - part);
  }
}
