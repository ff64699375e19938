import { Chains } from './chain.js';
import type { DeviceBound, SiteBound } from './device-bounds.js';
import { boundsOf } from './device-bounds.js';
import { DirectCredits } from './direct-credits.js';
import type { Credited, LanPrices } from './lan-prices.js';
import { LanPricer } from './lan-prices.js';
import { CostModel } from './cost-model.js';
import { Pairs } from './pairs.js';
import { relayedPrices } from './relayed-prices.js';
import { relayedCredit, spansOf, WEIGHINGS } from './relayed-credits.js';
import type { Scenario } from './rounds.js';

/** By so much of the round sought the bound is low at most. */
const PRECISION = 5e-5;

/** … where it is not the last. */
const ROUGHLY = 1e-3;

/** Whole samples make a round longer by less, mostly. */
const NEARLY = 1.01;

/** Where what is missing is sought: by so much of what the last two rounds say, and at most so many times the last. */
const BEYOND = 1.5;
const FURTHER = 4;

/** Of an interval, the part that a step leaves at either end: both ends close in. */
const MARGIN = 1e-3;

/** What prices come to of credits, roughly. */
const PRICED = 0.97;

const EXCHANGING: Scenario = { alone: false, maxUploads: Infinity, sharedMs: 0 };

/**
 * Samples an inner step that no layout can exceed in a round of this time. Each device has a credit, and no group manages more
 * than the credits of its members: a feasible point of the dual of packing devices into groups. A credit is the largest of
 * three, by how the device's group is made: alone, what is left of a round with its own exchange; over direct links,
 * `direct-credits.ts`, or where these are priced, `lan-pricing.ts`; with a hop through the server, `relayed-credits.ts`.
 */
export class UpperBound {
  private readonly fastestUplinkMs: number;
  private readonly leastTieMs: number;
  private readonly priced = new Map<SiteBound, Priced>();
  private relayed: Relayed | undefined;
  /** The longest round that there are prices for; 0: there are none. */
  private pricedMs = 0;

  constructor(
    private readonly model: CostModel,
    /** Whether pipelines with a hop through the server count. */
    private readonly relays = true,
    private readonly sites: readonly SiteBound[] = boundsOf(model),
  ) {
    this.leastTieMs = model.tieCosts.leastAnywhere();
    this.fastestUplinkMs = Math.min(...this.sites.flatMap(({ devices }) => devices.map(({ uplinkMs }) => uplinkMs)));
  }

  /** Of layouts that have no pipeline with a hop through the server. */
  withoutRelays(): UpperBound {
    return new UpperBound(this.model, false, this.sites);
  }

  /**
   * From here on, of rounds that are no longer than this, with prices for what keeps to one of these LANs where they come to less, and for what
   * goes through the server; returns what makes good pipelines by them.
   */
  price(lans: readonly (readonly number[])[], roundMs: number, pairs?: Pairs): PricedSets {
    this.priced.clear();
    this.relayed = undefined;
    const pricer = new LanPricer(this.model);
    const relays = pairs !== undefined && pricer.coversRelays();
    const direct = this.priceLans(pricer, lans, roundMs, relays);
    this.pricedMs = relays || this.priced.size > 0 ? roundMs : 0;
    return { direct, ...(relays ? this.priceRelays(pricer, roundMs, this.withoutHandOvers(pairs)) : { relayed: [], mixed: [] }) };
  }

  /** What they manage at most at any size of a microbatch: with hand-overs larger ones may manage more. */
  private withoutHandOvers(pairs: Pairs): Pairs {
    const { costs, cluster, request } = this.model;
    if (cluster.devices.every(({ handOverMs = 0 }) => handOverMs === 0)) return pairs;
    const devices = cluster.devices.map((device) => ({ ...device, handOverMs: 0 }));
    return new Pairs(new Chains(new CostModel(costs.profile, { ...cluster, devices }, request), pairs.chains.roundMs), pairs.devices);
  }

  private priceRelays(pricer: LanPricer, roundMs: number, pairs: Pairs): Omit<PricedSets, 'direct'> {
    const least = new Float64Array(this.model.cluster.devices.length);
    const credits = this.creditsWithin(roundMs, EXCHANGING, true);
    const within = this.directWithin(roundMs, EXCHANGING);
    const { stepsPerRound, microbatches } = this.model.request;
    const [stepMs, smallest] = [roundMs / stepsPerRound, Math.min(...microbatches)];
    for (const { bound, site, solo, direct } of credits) {
      // Of several sites, with replicas somewhere.
      const wide = bound.lone
        ? 0
        : within.wide(bound, site, pricer.sumsAmong(site.devices.flatMap(({ devices }) => devices)).otherMs, Infinity);
      // A lone device is at a hop: no pipeline of its manages more.
      const most = bound.lone ? stepMs / (bound.uplinkMs + this.fastestUplinkMs) + smallest : Infinity;
      for (const device of bound.devices) least[device] = Math.min(most, Math.max(solo, direct, wide));
    }
    const { prices, sets, mixed } = relayedPrices(this.model, pricer.layers, pairs, least, roundMs);
    this.relayed = {
      roundMs,
      matched: new Set(pairs.devices),
      prices: new Map(credits.map(({ bound }) => [bound, meanOf(bound, (device) => prices[device]!)])),
    };
    return { relayed: sets, mixed };
  }

  private priceLans(
    pricer: LanPricer,
    lans: readonly (readonly number[])[],
    roundMs: number,
    relays: boolean,
  ): PricedSets['direct'] {
    const first = new Set(lans.filter((devices) => pricer.covers(devices)).map(([device]) => device!));
    const found = new Map<number, LanPrices>();
    if (first.size === 0) return found;
    const credits = this.creditsWithin(roundMs, EXCHANGING, true);
    const within = this.directWithin(roundMs, EXCHANGING);
    const beyond = (credit: Credit) => Math.max(credit.solo, PRICED * credit.direct);
    const relayed = relays ? [] : this.leastRelayed(credits, roundMs, EXCHANGING, true, beyond);
    let next = 0;
    for (const site of this.sites) {
      const begin = next;
      next += site.devices.length;
      if (site.devices.every((bound) => !first.has(bound.devices[0]!))) continue;
      const devices = site.devices.flatMap((bound) => bound.devices).sort((a, b) => a - b);
      const sumsMs = pricer.sumsAmong(devices).otherMs;
      const credited = new Map<number, Credited>();
      for (let i = begin; i < next; i++) {
        const credit = credits[i]!;
        const { bound, solo, direct } = credit;
        const least = Math.max(
          solo,
          within.wide(bound, site, sumsMs),
          (relayed[i] ?? 0) > beyond(credit) ? relayed[i]! : 0,
        );
        for (const device of bound.devices) credited.set(device, { solo, most: Math.max(solo, direct), least });
      }
      const prices = pricer.price(devices, roundMs, credited);
      found.set(devices[0]!, prices);
      const sum = (of: Iterable<number>) => [...of].reduce((total, next) => total + next, 0);
      if (sum(prices.prices.values()) < sum([...credited.values()].map(({ most }) => most)))
        this.priced.set(site, { roundMs, sumsMs, tieMs: this.model.tieCosts.least(this.model.links.onlyLan(devices, devices)!), prices: meanPrices(site, prices) });
    }
    return found;
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
    let [low, high] = [fromMs, Math.max(this.busyMs(batch), fromMs * NEARLY, whole ? this.pricedMs : 0)];
    let below = fromMs > 0 ? missing(fromMs) : -batch;
    if (below >= 0) return fromMs;
    let above = missing(high);
    while (above < 0) {
      if (high > 1e16) return Infinity;
      const rate = (above - below) / (high - low);
      [low, below] = [high, above];
      high *= rate > 0 ? Math.min(FURTHER, 1 - (BEYOND * above) / (rate * high)) : FURTHER;
      above = missing(high);
    }
    for (let side = 0; high - low > (whole ? PRECISION : ROUGHLY) * high;) {
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

  /** Whether no layout does the batch in a round of this time. */
  isShort(roundMs: number, scenario: Scenario, batch: number): boolean {
    return roundMs < Infinity && this.samplesWithin(roundMs, scenario, false) < batch;
  }

  /** What the batch would take all devices if they did nothing but compute. */
  private busyMs(batch: number): number {
    const rateOf = ({ paces }: DeviceBound) => Math.max(...paces.map(({ msPerSample }) => 1 / msPerSample));
    const rate = this.sites.flatMap(({ devices }) => devices).reduce((sum, bound) => sum + bound.devices.length * rateOf(bound), 0);
    return (this.model.request.stepsPerRound * batch) / rate;
  }

  /** Each device's credit in a round with exchange, by index; `whole`: where each group does whole samples. */
  credits(roundMs: number, whole = false): readonly number[] {
    const credits = this.creditsWithin(roundMs, EXCHANGING, whole);
    const each = this.leastWithin(credits, roundMs, EXCHANGING, whole);
    const byDevice: number[] = [];
    for (const [i, { bound }] of credits.entries()) for (const device of bound.devices) byDevice[device] = each[i]!;
    return byDevice;
  }

  private samplesWithin(roundMs: number, scenario: Scenario, whole: boolean): number {
    const credits = this.creditsWithin(roundMs, scenario, whole);
    const total = (each: Float64Array) => credits.reduce((sum, { bound }, i) => sum + bound.devices.length * each[i]!, 0);
    if (!scenario.alone) return total(this.leastWithin(credits, roundMs, scenario, whole));
    const solo = Math.max(...credits.map((credit) => credit.solo));
    // Where the server steps, only a solo does without it.
    if (this.model.request.optimizer === 'server') return solo;
    const bySite = new Map<SiteBound, number>();
    for (const { site, bound, direct } of credits) bySite.set(site, (bySite.get(site) ?? 0) + bound.devices.length * direct);
    return Math.max(solo, ...bySite.values(), total(this.leastRelayed(credits, roundMs, scenario, whole, () => 0)));
  }

  /** Of each credit, whatever its groups are, where these exchange. */
  private leastWithin(credits: readonly Credit[], roundMs: number, scenario: Scenario, whole: boolean): Float64Array {
    const { relayed } = this;
    if (relayed === undefined || !whole || scenario.sharedMs > 0 || roundMs > relayed.roundMs)
      return this.leastRelayed(credits, roundMs, scenario, whole, ({ solo, direct }) => Math.max(solo, direct));
    // Of pairs whole samples are priced; any other pipeline manages that much less at least in a shorter round.
    const part = this.partOf(relayed.roundMs, roundMs, this.leastTieMs);
    return Float64Array.from(credits, ({ bound, solo, direct }) =>
      Math.max(solo, direct, relayed.prices.get(bound)! * (relayed.matched.has(bound.devices[0]!) ? 1 : part)),
    );
  }

  /** Of each credit with what it has by relayed hops, where that is more than it has without: by the weighing whose sum is least. */
  private leastRelayed(
    credits: readonly Credit[],
    roundMs: number,
    { alone, sharedMs }: Scenario,
    whole: boolean,
    without: (credit: Credit) => number,
  ): Float64Array {
    if (!this.relays) return Float64Array.from(credits, without);
    const { stepsPerRound, microbatches, batch } = this.model.request;
    // What the server's own link takes is taken off, and what stages share; what a device's own does is charged to it.
    const stepMs = Math.max(0, Math.max(0, roundMs - (alone ? 0 : sharedMs)) / stepsPerRound - this.leastTieMs);
    const exchanged = alone || sharedMs > 0 ? 0 : 1 / stepsPerRound;
    const relayed = { stepMs, exchanged, fastestMs: this.fastestUplinkMs };
    const spans = spansOf(Math.min(...microbatches), Math.min(batch, stepMs / this.fastestUplinkMs / 2), whole);
    const beyond = Float64Array.from(credits, without);
    let least = beyond;
    let leastSum = Infinity;
    // What is added to the sum of the others, as long as it is less than for the best weighing.
    for (const weighing of WEIGHINGS) {
      const each = beyond.slice();
      let sum = 0;
      for (let i = 0; i < credits.length && sum < leastSum; i++) {
        const { bound } = credits[i]!;
        each[i] = relayedCredit(bound, relayed, spans, weighing, beyond[i]!);
        sum += bound.devices.length * (each[i]! - beyond[i]!);
      }
      if (sum < leastSum) [least, leastSum] = [each, sum];
    }
    return least;
  }

  private creditsWithin(roundMs: number, scenario: Scenario, whole: boolean): readonly Credit[] {
    const within = this.directWithin(roundMs, scenario);
    const credits: Credit[] = [];
    for (const site of this.sites) {
      const priced = scenario.alone || scenario.sharedMs > 0 ? undefined : this.priced.get(site);
      for (const [i, bound] of site.devices.entries()) {
        const solo = within.left(bound.exchangeMs) / bound.soloMs;
        const direct =
          priced !== undefined && roundMs <= priced.roundMs
            ? // A pipeline manages that much less at least in a shorter round.
              Math.max(priced.prices[i]! * this.partOf(priced.roundMs, roundMs, priced.tieMs), within.wide(bound, site, priced.sumsMs))
            : within.of(bound, site);
        credits.push({ bound, site, solo: whole ? Math.floor(solo + 1e-9) : solo, direct });
      }
    }
    return credits;
  }

  /** Of what a pipeline manages in a round, what it does in a shorter one at most, where its stages wait so long for what they share at each inner step. */
  private partOf(roundMs: number, shorterMs: number, tieMs: number): number {
    const tiesMs = this.model.request.stepsPerRound * tieMs;
    return shorterMs > tiesMs ? (shorterMs - tiesMs) / (roundMs - tiesMs) : 0;
  }

  private directWithin(roundMs: number, scenario: Scenario): DirectCredits {
    return new DirectCredits(roundMs, scenario, this.model.request.stepsPerRound);
  }
}

/** Sets of devices that make good pipelines. */
export interface PricedSets {
  /** Of one LAN, by its first device, with their prices. */
  readonly direct: ReadonlyMap<number, LanPrices>;
  /** Of devices that were paired, three or more. */
  readonly relayed: readonly (readonly number[])[];
  /** … or of one LAN's and those. */
  readonly mixed: readonly (readonly number[])[];
}

/** Samples an inner step of each of some devices that are alike, in groups without a relayed hop. */
interface Credit {
  readonly bound: DeviceBound;
  readonly site: SiteBound;
  readonly solo: number;
  readonly direct: number;
}

/** Prices of a LAN's devices, in the order of its bounds, for pipelines but for those whose replicas sum for so long a round. */
interface Priced {
  readonly roundMs: number;
  readonly sumsMs: number;
  /** What the ends of each send each other of what they share, an inner step. */
  readonly tieMs: number;
  readonly prices: readonly number[];
}

/** Prices of all devices, for any pipeline; those matched in whole samples. */
interface Relayed {
  readonly roundMs: number;
  readonly matched: ReadonlySet<number>;
  readonly prices: ReadonlyMap<DeviceBound, number>;
}

/** Devices that are alike may as well have the same. */
function meanPrices({ devices }: SiteBound, { prices }: LanPrices): readonly number[] {
  return devices.map((bound) => meanOf(bound, (device) => prices.get(device)!));
}

function meanOf({ devices }: DeviceBound, of: (device: number) => number): number {
  return devices.reduce((sum, device) => sum + of(device), 0) / devices.length;
}
