import type { DeviceBound, SiteBound } from './device-bounds.js';
import { boundsOf } from './device-bounds.js';
import type { CostModel } from './layout.js';
import type { Scenario } from './rounds.js';

/** λ below: which of them bounds best depends on the fleet. */
const LINK_SHARES = [0, 0.8, 0.9, 1];

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
 * - With a hop through the server, h its uplink's time a sample: λ T / 4h + max(0, 1 − λ − λ b l / T) min(T r, w T / h).
 *   At the ends of the hop n (h + h′) + b Σ f l ≤ T, so n ≤ n (1 − n h / T) + n (1 − n h′ / T) − b Σ f l n / T, where
 *   n (1 − n h / T) ≤ T / 4h; λ parts of this, and 1 − λ of n = Σ f n. Any λ will do that is the same for all.
 */
export class UpperBound {
  private readonly sites: readonly SiteBound[];
  /** All devices uploading one replica between them. */
  private readonly relayedTailMs: number;

  constructor(private readonly model: CostModel) {
    this.sites = boundsOf(model);
    this.relayedTailMs =
      1 / this.sites.flatMap(({ devices }) => devices).reduce((sum, bound) => sum + bound.devices.length / bound.exchangeMs, 0);
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
    let [low, high] = [fromMs, Math.max(1, fromMs * NEARLY)];
    let [below, above] = [-batch, missing(high)];
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

  /** Each device's credit in a round with exchange, by index. */
  credits(roundMs: number): readonly number[] {
    const credits = this.creditsWithin(roundMs, { alone: false, maxUploads: Infinity, sharedMs: 0 }, false);
    const sums = LINK_SHARES.map((share) => totalOf(credits, share));
    const share = LINK_SHARES[sums.indexOf(Math.min(...sums))]!;
    const byDevice: number[] = [];
    for (const credit of credits) for (const device of credit.bound.devices) byDevice[device] = creditOf(credit, share);
    return byDevice;
  }

  private samplesWithin(roundMs: number, scenario: Scenario, whole: boolean): number {
    const credits = this.creditsWithin(roundMs, scenario, whole);
    if (!scenario.alone) return Math.min(...LINK_SHARES.map((share) => totalOf(credits, share)));
    const solo = Math.max(...credits.map((credit) => credit.solo));
    // Where the server steps, only a solo does without it.
    if (this.model.request.optimizer === 'server') return solo;
    const bySite = new Map<SiteBound, number>();
    for (const { site, bound, direct } of credits) bySite.set(site, (bySite.get(site) ?? 0) + bound.devices.length * direct);
    const relayed = LINK_SHARES.map((share) =>
      credits.reduce((sum, { bound, relayedMs }) => sum + bound.devices.length * relayedCredit(bound, relayedMs, share), 0),
    );
    return Math.max(solo, ...bySite.values(), Math.min(...relayed));
  }

  private creditsWithin(roundMs: number, { alone, sharedMs }: Scenario, whole: boolean): readonly Credit[] {
    const { stepsPerRound } = this.model.request;
    const left = (tailMs: number) => Math.max(0, roundMs - (alone ? 0 : Math.max(tailMs, sharedMs))) / stepsPerRound;
    const relayedMs = left(this.relayedTailMs);
    return this.sites.flatMap((site) =>
      site.devices.map((bound) => {
        const solo = left(bound.exchangeMs) / bound.soloMs;
        return { bound, site, solo: whole ? Math.floor(solo + 1e-9) : solo, direct: directCredit(bound, site, left), relayedMs };
      }),
    );
  }
}

/** Samples an inner step of each of some devices that are alike. */
interface Credit {
  readonly bound: DeviceBound;
  readonly site: SiteBound;
  readonly solo: number;
  readonly direct: number;
  /** What is left to a group with a hop through the server. */
  readonly relayedMs: number;
}

function totalOf(credits: readonly Credit[], share: number): number {
  let sum = 0;
  for (const credit of credits) sum += credit.bound.devices.length * creditOf(credit, share);
  return sum;
}

function creditOf({ bound, solo, direct, relayedMs }: Credit, share: number): number {
  return Math.max(solo, direct, relayedCredit(bound, relayedMs, share));
}

/** Milliseconds of an inner step that an exchange of so long leaves. */
type Left = (tailMs: number) => number;

function directCredit(bound: DeviceBound, site: SiteBound, left: Left): number {
  if (!site.direct) return 0;
  let most = Math.max(0, left(site.replicasTailMs) - site.replicasSumMs) / bound.soloMs;
  for (const [p, { microbatch, msPerSample, held }] of bound.paces.entries()) {
    if (held === 0) continue;
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

function relayedCredit({ paces, uplinkMs, lone }: DeviceBound, withinMs: number, share: number): number {
  let most = 0;
  for (const { microbatch, msPerSample, held } of paces) {
    const samples = withinMs / msPerSample;
    const carried = withinMs / uplinkMs;
    if (samples === 0 || held === 0 || carried === 0) continue;
    const computed = Math.min(samples, lone ? held * carried : Infinity);
    most = Math.max(most, (share * carried) / 4 + Math.max(0, 1 - share - (share * microbatch) / samples) * computed);
  }
  return most;
}
