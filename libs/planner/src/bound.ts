import type { DeviceBound, SiteBound } from './device-bounds.js';
import { boundsOf } from './device-bounds.js';
import type { CostModel } from './layout.js';
import { relayedCredit, spansOf, WEIGHINGS } from './relayed-credits.js';
import type { Scenario } from './rounds.js';

/** By so much of the round sought the bound is low at most. */
const PRECISION = 1e-6;

/** Whole samples make a round longer by less, mostly. */
const NEARLY = 1.01;

/** Of an interval, the part that a step leaves at either end: both ends close in. */
const MARGIN = 1e-3;

/**
 * Samples an inner step that no layout can exceed in a round of this time. Each device has a credit, and no group manages more
 * than the credits of its members: a feasible point of the dual of packing devices into groups. A credit is the largest of
 * three, by how the device's group is made. With T what exchange and hops leave of a round to an inner step, l the device's
 * time for the whole model a sample and r = 1 / l, w the largest part of the work that its memory holds, f ≤ w the part it
 * gets, n the group's samples and b its microbatch:
 *
 * - Alone: T r, with its own exchange.
 * - Over direct links: T r − b (1 − f), where T r < b no more than b w. In a pipeline T ≥ b Σ f l + (n − b) max f l, so
 *   n ≤ Σ (f b + y (T r − b)) with y = f l / max f l; among p devices y ≤ f R / r for R of the device and the p − 1 fastest
 *   beside it. T has lost p − 1 hops and the exchange of f of the model. The p and f that give most count. A stage of replicas
 *   is one of f l the mean over its replicas, since its slowest has the latency.
 * - With a hop through the server: in `relayed-credits.ts`.
 */
export class UpperBound {
  private readonly sites: readonly SiteBound[];
  private readonly fastestUplinkMs: number;

  constructor(private readonly model: CostModel) {
    this.sites = boundsOf(model);
    this.fastestUplinkMs = Math.min(...this.sites.flatMap(({ devices }) => devices.map(({ uplinkMs }) => uplinkMs)));
  }

  /**
   * The least round that any layout could have; Infinity where nothing can train. `whole`: where each group does whole samples.
   * `fromMs`: a round that is known to be too short. What a round manages grows almost along a line, which is followed to the
   * batch (regula falsi, in its Illinois form).
   */
  roundMs(
    scenario: Scenario,
    batch: number,
    { whole = false, fromMs = 0 }: { readonly whole?: boolean; readonly fromMs?: number } = {},
  ): number {
    const missing = (roundMs: number) => this.samplesWithin(roundMs, scenario, whole) - batch;
    let [low, high] = [fromMs, Math.max(this.busyMs(batch), fromMs * NEARLY)];
    let below = fromMs > 0 ? missing(fromMs) : -batch;
    if (below >= 0) return fromMs;
    let above = missing(high);
    for (; above < 0; above = missing((high *= 4))) {
      if (high > 1e16) return Infinity;
      [low, below] = [high, above];
    }
    for (let side = 0; high - low > PRECISION * high;) {
      const part = Math.min(1 - MARGIN, Math.max(MARGIN, -below / (above - below)));
      const between = low + part * (high - low);
      const left = missing(between);
      if (left < 0) {
        [low, below] = [between, left];
        if (side < 0) above /= 2;
        side = -1;
      } else {
        [high, above] = [between, left];
        if (side > 0) below /= 2;
        side = 1;
      }
    }
    return low;
  }

  /** What the batch would take all devices if they did nothing but compute. */
  private busyMs(batch: number): number {
    const rateOf = ({ paces }: DeviceBound) => Math.max(...paces.map(({ msPerSample }) => 1 / msPerSample));
    const rate = this.sites.flatMap(({ devices }) => devices).reduce((sum, bound) => sum + bound.devices.length * rateOf(bound), 0);
    return (this.model.request.stepsPerRound * batch) / rate;
  }

  /** Each device's credit in a round with exchange, by index. */
  credits(roundMs: number): readonly number[] {
    const scenario = { alone: false, maxUploads: Infinity, sharedMs: 0 };
    const credits = this.creditsWithin(roundMs, scenario, false);
    const relayed = this.leastRelayed(credits, roundMs, scenario, false, ({ solo, direct }) => Math.max(solo, direct));
    const byDevice: number[] = [];
    for (const [i, { bound }] of credits.entries()) for (const device of bound.devices) byDevice[device] = relayed[i]!;
    return byDevice;
  }

  private samplesWithin(roundMs: number, scenario: Scenario, whole: boolean): number {
    const credits = this.creditsWithin(roundMs, scenario, whole);
    const total = (each: readonly number[]) => credits.reduce((sum, { bound }, i) => sum + bound.devices.length * each[i]!, 0);
    if (!scenario.alone) return total(this.leastRelayed(credits, roundMs, scenario, whole, ({ solo, direct }) => Math.max(solo, direct)));
    const solo = Math.max(...credits.map((credit) => credit.solo));
    // Where the server steps, only a solo does without it.
    if (this.model.request.optimizer === 'server') return solo;
    const bySite = new Map<SiteBound, number>();
    for (const { site, bound, direct } of credits) bySite.set(site, (bySite.get(site) ?? 0) + bound.devices.length * direct);
    return Math.max(solo, ...bySite.values(), total(this.leastRelayed(credits, roundMs, scenario, whole, () => 0)));
  }

  /** Of each credit with what it has by relayed hops, where that is more than it has without: by the weighing whose sum is least. */
  private leastRelayed(
    credits: readonly Credit[],
    roundMs: number,
    { alone, sharedMs }: Scenario,
    whole: boolean,
    without: (credit: Credit) => number,
  ): readonly number[] {
    const { stepsPerRound, microbatches, batch } = this.model.request;
    // What the server's own link takes is taken off; what a device's own does is charged to it.
    const stepMs = Math.max(0, roundMs - (alone ? 0 : sharedMs)) / stepsPerRound;
    const exchanged = alone || sharedMs > 0 ? 0 : 1 / stepsPerRound;
    const relayed = { stepMs, exchanged, fastestMs: this.fastestUplinkMs };
    const spans = spansOf(Math.min(...microbatches), Math.min(batch, stepMs / this.fastestUplinkMs / 2), whole);
    let least: readonly number[] = [];
    let leastSum = Infinity;
    for (const weighing of WEIGHINGS) {
      const each = credits.map((credit) => relayedCredit(credit.bound, relayed, spans, weighing, without(credit)));
      const sum = credits.reduce((total, { bound }, i) => total + bound.devices.length * each[i]!, 0);
      if (sum < leastSum) [least, leastSum] = [each, sum];
    }
    return least;
  }

  private creditsWithin(roundMs: number, { alone, sharedMs }: Scenario, whole: boolean): readonly Credit[] {
    const { stepsPerRound } = this.model.request;
    const left = (tailMs: number) => Math.max(0, roundMs - (alone ? 0 : Math.max(tailMs, sharedMs))) / stepsPerRound;
    return this.sites.flatMap((site) =>
      site.devices.map((bound) => {
        const solo = left(bound.exchangeMs) / bound.soloMs;
        return { bound, site, solo: whole ? Math.floor(solo + 1e-9) : solo, direct: directCredit(bound, site, left) };
      }),
    );
  }
}

/** Samples an inner step of each of some devices that are alike, in groups without a relayed hop. */
interface Credit {
  readonly bound: DeviceBound;
  readonly site: SiteBound;
  readonly solo: number;
  readonly direct: number;
}

/** Milliseconds of an inner step that an exchange of so long leaves. */
type Left = (tailMs: number) => number;

function directCredit(bound: DeviceBound, site: SiteBound, left: Left): number {
  if (!site.direct) return 0;
  let most = Math.max(0, left(site.replicasTailMs) - site.replicasSumMs) / bound.soloMs;
  for (const [p, { microbatch, msPerSample, held }] of bound.paces.entries()) {
    if (held <= 0) continue;
    const rate = 1 / msPerSample;
    for (const [others, hopsMs] of site.hopsMs.entries()) {
      const samplesWith = (part: number) => Math.max(0, left(bound.roundTripMs + part * bound.spreadMs) - hopsMs) * rate;
      const creditWith = (part: number) => {
        const samples = samplesWith(part);
        return samples < microbatch ? microbatch * held : samples - microbatch * (1 - part);
      };
      const atMost = samplesWith(0);
      // With less it is not busy all of the time, with more it pays more exchange; unless its exchange is so long that even less is better.
      const even = Math.min(held, rate / (rate + site.rates[p]![others]!));
      const evenIsLeast = samplesWith(2 * even) >= microbatch * (1 - even);
      const credit = evenIsLeast ? Math.max(creditWith(even), creditWith(held)) : atMost;
      most = Math.max(most, atMost < microbatch ? Math.min(atMost, microbatch * held) : credit);
    }
  }
  return most;
}
