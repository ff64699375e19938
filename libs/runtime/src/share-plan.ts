import type { ShareRule, WorkerTime } from '@longtail/core';
import type { Group } from './group.js';
import type { SharedLine } from './shared-line.js';
import { roundTimes } from './speed.js';

export type Shares = ReadonlyMap<string, number>;

export interface PlannedShares {
  readonly shares: Shares;
  /** Their sum. */
  readonly samples: number;
  /** For people. */
  readonly reason: string;
}

/** What shares are planned for. */
interface Batch {
  readonly round: number;
  readonly samples: number;
  readonly groups: readonly Group[];
  /** All who have a share begin at once. */
  readonly together: boolean;
  readonly nowMs: number;
}

/** Tries may cost this part of a run's time … */
const TRY_PART = 1 / 32;
/** … and are at least so many rounds apart. */
const ROUNDS_BETWEEN = 8;
/** So many more take part in a try, of those that do anyway, and each gets this part of a usual share. */
const TRIED_PART = 1 / 8;
/** Whose try costs more than this part of one that is saved up for waits for that, whose turn would never come. */
const BESIDE_PART = 1 / 8;
/** Exchanges that take less of a round are not worth finding out what they could take. */
const WORTH_TRYING = 1 / 4;

interface Try {
  readonly shares: Shares;
  /** By which the round is expected to be longer than without it. */
  readonly costMs: number;
  readonly reason: string;
}

const NONE: Shares = new Map();

/**
 * How a run splits its batches: as the rule has it, by what was measured. Now and then a round is a try, for what no other one tells:
 * what those make of a share who are left out, a few at a time; and, where exchanges are a good part of it, once for the same groups, how much
 * shorter they are among fewer.
 */
export class SharePlan {
  /** Of rounds that try nothing. */
  private standing = NONE;
  private beganAtMs: number | undefined;
  /** In the latest try. */
  private triedIn = -Infinity;
  /** On tries so far, as expected. */
  private spentMs = 0;
  /** Who was there when fewer were tried. */
  private foundAmong: readonly Group[] | undefined;
  private latest: { readonly of: Omit<Batch, 'nowMs' | 'together'>; readonly planned: PlannedShares } | undefined;

  constructor(
    private readonly rule: ShareRule,
    private readonly line: SharedLine,
  ) {}

  /** The same again for the same batch of the same groups. */
  next(batch: Batch): PlannedShares {
    const { round, samples, groups, together, nowMs } = batch;
    const { latest } = this;
    if (latest?.of.round === round && latest.of.samples === samples && latest.of.groups === groups) return latest.planned;
    this.beganAtMs ??= nowMs;
    const times = roundTimes(groups, together);
    this.standing = this.rule(samples, times, this.standing, this.line.msEach);
    const planned = this.tryIn(times, batch) ?? this.asRuled(times, batch);
    this.latest = { of: { round, samples, groups }, planned };
    return planned;
  }

  private asRuled(times: readonly WorkerTime[], { groups, samples }: Batch): PlannedShares {
    const { standing, line } = this;
    return {
      shares: standing,
      samples,
      get reason() {
        const { taking, ms } = new Round(times, standing, line.msEach);
        const who = groups.every(({ solo }) => solo) ? 'workers' : 'groups';
        const some = taking.length < groups.length ? `${taking.length} of ` : '';
        return `${some}${groups.length} ${who}, ${((1000 * samples) / ms).toPrecision(3)} samples/s together`;
      },
    };
  }

  /** Undefined: there is nothing to try, or it is too soon. */
  private tryIn(times: readonly WorkerTime[], batch: Batch): PlannedShares | undefined {
    const spareMs = TRY_PART * (batch.nowMs - this.beganAtMs!) - this.spentMs;
    if (this.rule.fixed === true || batch.round < this.triedIn + ROUNDS_BETWEEN || spareMs <= 0) return undefined;
    const standing = new Round(times, this.standing, this.line.msEach);
    const found = this.withFewer(standing, batch, spareMs) ?? this.withMore(standing, batch, spareMs);
    if (found === undefined) return undefined;
    this.triedIn = batch.round;
    this.spentMs += found.costMs;
    return { shares: found.shares, samples: batch.samples, reason: found.reason };
  }

  /** With as few as would be best if all of an exchange were what groups take from each other, or else with half of them. */
  private withFewer({ times, shares, taking, ms }: Round, { groups, samples, together }: Batch, spareMs: number): Try | undefined {
    if (!together || this.foundAmong === groups || taking.length < 2) return undefined;
    const speeds = taking.map((i) => groups[i]!.speed);
    if (speeds.some(({ latestSamples, gaveUp }) => latestSamples === 0 || gaveUp)) return undefined;
    const exchangeMs = speeds.reduce((sum, speed) => sum + speed.exchangeMs!, 0) / taking.length;
    if (exchangeMs < WORTH_TRYING * ms) return undefined;
    const half = bySize(taking, times, shares).slice(0, Math.ceil(taking.length / 2)).sort((a, b) => a - b);
    const unshared = taking.map((i) => ({ ...times[i]!, fixedMs: Math.max(0, times[i]!.fixedMs - exchangeMs) }));
    const splits = [this.rule(samples, unshared, NONE, exchangeMs / taking.length), this.rule(samples, half.map((i) => times[i]!), NONE)];
    for (const split of splits) {
      const tried = new Map(times.map(({ node }) => [node, split.get(node) ?? 0]));
      const round = new Round(times, tried, this.line.msEach);
      const costMs = Math.max(0, round.ms - ms);
      if (costMs > spareMs || round.taking.length === taking.length) continue;
      this.foundAmong = groups;
      return { shares: tried, costMs, reason: `${round.taking.length} of ${groups.length}, to see what they take from each other when they exchange` };
    }
    return undefined;
  }

  private withMore({ times, shares, taking, ms }: Round, { groups, samples }: Batch, spareMs: number): Try | undefined {
    const { msEach } = this.line;
    if (taking.length === groups.length || msEach > spareMs) return undefined;
    const most = Math.max(1, Math.floor(TRIED_PART * taking.length));
    const part = Math.max(1, Math.round((TRIED_PART * samples) / taking.length));
    const ownMs = ms - taking.length * msEach;
    const givers = bySize(taking, times, shares);
    const tried = new Map(shares);
    const names: string[] = [];
    let costMs = 0;
    let longerMs = 0;
    /** That is saved up for: what the cheapest try costs of those who may be done sooner. */
    let awaitedMs = Infinity;
    for (const i of this.mostHopeful(times, shares, groups, part)) {
      const { node, fixedMs, msPerSample } = times[i]!;
      const { speed, name } = groups[i]!;
      const gain = speed.expectedGain;
      const inTime = Math.floor((gain * ownMs - fixedMs) / msPerSample);
      const giver = times[givers[names.length]!]!.node;
      const given = Math.min(part, Math.max(1, inTime), Math.floor(tried.get(giver)! / 2));
      if (given === 0) break;
      // Who may not be done this time either would hold up the round to its deadline.
      if (inTime < given && speed.gaveUp) continue;
      const lateMs = Math.max(longerMs, (fixedMs + given * msPerSample) / gain - ownMs);
      const togetherMs = lateMs + (names.length + 1) * msEach;
      if (togetherMs > spareMs) awaitedMs = Math.min(awaitedMs, togetherMs);
      if (togetherMs > Math.min(spareMs, BESIDE_PART * awaitedMs)) continue;
      longerMs = lateMs;
      costMs = togetherMs;
      speed.retry();
      tried.set(giver, tried.get(giver)! - given);
      tried.set(node, given);
      names.push(name);
      if (names.length === most) break;
    }
    return names.length === 0 ? undefined : { shares: tried, costMs, reason: `another try for ${names.length > 3 ? `${names.length} groups` : names.join(', ')}` };
  }

  /** Of those who are left out, who may be done first with a part by now. */
  private mostHopeful(times: readonly WorkerTime[], shares: Shares, groups: readonly Group[], part: number): readonly number[] {
    const hopedMs = times.map(({ fixedMs, msPerSample }, i) => (fixedMs + part * msPerSample) / groups[i]!.speed.hope);
    const leftOut = times.flatMap(({ node }, i) => (shares.get(node)! > 0 ? [] : [i]));
    return leftOut.sort((a, b) => hopedMs[a]! - hopedMs[b]!);
  }
}

/** As it is expected of shares. */
class Round {
  /** Who has one. */
  readonly taking: readonly number[];
  /** Until the last one is done. */
  readonly ms: number;

  constructor(
    readonly times: readonly WorkerTime[],
    readonly shares: Shares,
    sharedMs: number,
  ) {
    const taking: number[] = [];
    let ms = 0;
    for (let i = 0; i < times.length; i++) {
      const { node, fixedMs, msPerSample } = times[i]!;
      const share = shares.get(node) ?? 0;
      if (share === 0) continue;
      taking.push(i);
      ms = Math.max(ms, fixedMs + share * msPerSample);
    }
    this.taking = taking;
    this.ms = ms + taking.length * sharedMs;
  }
}

/** The largest share first. */
function bySize(taking: readonly number[], times: readonly WorkerTime[], shares: Shares): number[] {
  const size = (i: number) => shares.get(times[i]!.node)!;
  return [...taking].sort((a, b) => size(b) - size(a));
}
