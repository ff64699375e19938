import type { Layers } from './layers.js';
import type { CostModel } from './cost-model.js';
import { leastSumMs } from './gradient-sums.js';
import type { Column } from './packing.js';
import type { Pairs } from './pairs.js';
import type { PricedRelays } from './relayed-options.js';
import { RelayedPricing } from './relayed-pricing.js';

/** Times that pipelines other than pairs are looked for which manage so many samples more than their members' prices, each at every fourth period. */
const TURNS = 2;
const MORE = 0.1;
const STRIDE = 4;

/** Sweeps over all that were found, after each turn. */
const SWEEPS = 2;

/** Weight of squares beside the sum of prices. */
const CURVATURE = 0.2;

/** Samples that a pipeline may manage beyond its members' prices, until the last. */
const TOLERANCE = 0.02;

/** Of all devices, by index. */
export interface RelayedPrices {
  readonly prices: Float64Array;
  /** Three or more of the devices that are matched, which may make good pipelines; the best, by their prices, first. */
  readonly sets: readonly (readonly number[])[];
  /** … or of one site's and lone ones that are matched. */
  readonly mixed: readonly (readonly number[])[];
}

/**
 * Prices of all devices in rounds of this time, at least `least` each, which no pipeline with a hop through the server exceeds: two of the devices
 * that are matched in whole samples, any other pipeline in parts of one too. Column generation, as in `lan-prices.ts`.
 */
export function relayedPrices(model: CostModel, layers: Layers, pairs: Pairs, least: Float64Array, roundMs: number): RelayedPrices {
  const current = least.slice();
  const pricings = relaysOf(model, layers, pairs, roundMs).map((relays) => new RelayedPricing(relays, current));
  const descent = new Descent(pairs, least, current);
  for (let turn = 0; turn < TURNS; turn++) {
    descent.sweep(SWEEPS);
    for (const pricing of pricings) {
      pricing.sweep(MORE, turn % STRIDE, STRIDE, (columns) => {
        for (const column of columns) descent.add(column);
        descent.sweep(1);
      });
    }
  }
  descent.sweep(8 * SWEEPS);
  descent.raisePairs();
  for (const pricing of pricings) pricing.raise(TOLERANCE);
  // A pipeline has two members at least, and was left as much short.
  const prices = current.map((price) => price + TOLERANCE / 2);
  const matched = new Set(pairs.devices);
  const sets = descent.bestBy(prices).filter((set) => set.length > 2);
  return {
    prices,
    sets: sets.filter((set) => set.every((device) => matched.has(device))),
    mixed: sets.filter((set) => set.some((device) => matched.has(device)) && isOneSite(model, set.filter((device) => !matched.has(device)))),
  };
}

/** Whether these are several devices that reach each other. */
function isOneSite({ links }: CostModel, devices: readonly number[]): boolean {
  return new Set(devices).size > 1 && links.onlyLan(devices, devices) !== undefined;
}

/** What does not depend on where a pipeline's ends are. */
type Anywhere = Omit<PricedRelays, 'stepMs' | 'lastMs' | 'innerMs' | 'otherHopMs' | 'endsMeet'>;

/** Pipelines whose ends are apart; and where ends share something, those with both in one site, which send each other that over its LAN. */
function relaysOf(model: CostModel, layers: Layers, { devices: matched }: Pairs, roundMs: number): readonly PricedRelays[] {
  const { cluster, request, costs, links } = model;
  const cuts = Array.from({ length: costs.blocks - 1 }, (_, i) => i + 1).filter((at) => costs.canCut(at));
  const cutBits = 1000 * Math.min(...cuts.map((at) => costs.cutBits(at)));
  const { devices } = cluster;
  const sites = links.components();
  const wideMs = sites.map((members) => {
    if (members.length === 1) return [];
    const way = links.onlyLan(members, members)!;
    return layers.values.map((least) =>
      least.map((values) => request.stepsPerRound * leastSumMs(values, way) + Math.min(...members.map((device) => model.exchangeMs(device, values)))),
    );
  });
  const isMatched = new Uint8Array(devices.length);
  for (const device of matched) isMatched[device] = 1;
  const microbatch = Math.min(...request.microbatches);
  const anywhere: Anywhere = {
    microbatch,
    layers: layers.count,
    steps: request.stepsPerRound,
    times: layers.times(microbatch),
    uplinkMs: Float64Array.from(devices, ({ upBitsPerSecond }) => cutBits / upBitsPerSecond),
    delayMs: Float64Array.from(devices, ({ roundTripMs }) => roundTripMs),
    exchangeMs: devices.map((_, device) => layers.values.map((least) => least.map((values) => model.exchangeMs(device, values)))),
    sites,
    matched: isMatched,
    wideMs,
  };
  const stepMs = roundMs / request.stepsPerRound;
  const apart = endsApart(model, anywhere, stepMs);
  return apart.stepMs === stepMs || sites.length === devices.length ? [apart] : [apart, endsTogether(model, anywhere, stepMs)];
}

/** A lone device at either end sends what both ends share over its uplink, else it is at a second hop; of two at the ends, one is charged. */
function endsApart(model: CostModel, anywhere: Anywhere, stepMs: number): PricedRelays {
  const hopMs = hopsOf(anywhere);
  const isLone = lonesOf(anywhere);
  const tiesMs = hopMs.map((_, device) => model.tieCosts.leastRelayedOf(device));
  const leastTieMs = tiesMs.reduce((least, ms) => Math.min(least, ms), Infinity);
  const moreMs = tiesMs.map((ms, device) => (isLone[device] === 1 ? ms - leastTieMs : 0));
  const innerMs = moreMs.map((ms, device) => Math.min(ms, hopMs[device]!));
  const mostMs = innerMs.reduce((most, ms) => Math.max(most, ms), 0);
  const lastMs = moreMs.map((ms) => Math.max(0, ms - mostMs));
  return { ...anywhere, endsMeet: false, stepMs: stepMs - leastTieMs, lastMs, innerMs, otherHopMs: hopMs.map(() => 0) };
}

/** A lone device is at two hops, and so is each site. */
function endsTogether(model: CostModel, anywhere: Anywhere, stepMs: number): PricedRelays {
  const hopMs = hopsOf(anywhere);
  const isLone = lonesOf(anywhere);
  const otherHopMs = new Float64Array(hopMs.length);
  let leastTieMs = Infinity;
  for (const members of anywhere.sites) {
    if (members.length === 1) continue;
    leastTieMs = Math.min(leastTieMs, model.tieCosts.least(model.links.onlyLan(members, members)!));
    const fastestMs = Math.min(...members.map((device) => hopMs[device]!));
    for (const device of members) otherHopMs[device] = fastestMs;
  }
  const lastMs = Float64Array.from(isLone, (lone) => (lone === 1 ? Infinity : 0));
  const innerMs = hopMs.map((ms, device) => isLone[device]! * ms);
  return { ...anywhere, endsMeet: true, stepMs: stepMs - leastTieMs, lastMs, innerMs, otherHopMs };
}

/** By device: a microbatch over its uplink, and the delay. */
function hopsOf({ microbatch, uplinkMs, delayMs }: Anywhere): Float64Array {
  return uplinkMs.map((ms, device) => microbatch * ms + delayMs[device]!);
}

function lonesOf({ sites, matched }: Anywhere): Uint8Array {
  const isLone = matched.map(() => 0);
  for (const members of sites) if (members.length === 1) isLone[members[0]!] = 1;
  return isLone;
}

/** A group, and what it weighs in the prices of its members. */
interface Weighed extends Column {
  weight: number;
}

/**
 * The least prices that no group exceeds, by Hildreth's row action method (1957) on the sum of prices and, so that there is one
 * solution, their squares: group by group, its weight is changed to where its members' prices are what it is worth.
 */
class Descent {
  private readonly columns: Weighed[] = [];
  /** Pairs that may manage more than their members' prices: those, what each is worth and weighs. */
  private readonly firsts: Int32Array;
  private readonly seconds: Int32Array;
  private readonly worths: Float64Array;
  private readonly weights: Float64Array;
  /** By device, of all groups that it is in. */
  private readonly total: Float64Array;

  constructor(
    { devices, whole }: Pairs,
    private readonly least: Float64Array,
    private readonly prices: Float64Array,
  ) {
    const count = devices.length;
    const firsts: number[] = [];
    const seconds: number[] = [];
    const worths: number[] = [];
    for (let a = 0; a < count; a++) {
      for (let b = a + 1; b < count; b++) {
        const worth = whole[a * count + b]!;
        if (worth <= least[devices[a]!]! + least[devices[b]!]!) continue;
        firsts.push(devices[a]!);
        seconds.push(devices[b]!);
        worths.push(worth);
      }
    }
    this.firsts = new Int32Array(firsts);
    this.seconds = new Int32Array(seconds);
    this.worths = new Float64Array(worths);
    this.weights = new Float64Array(worths.length);
    this.total = new Float64Array(least.length);
  }

  add({ members, worth }: Column): void {
    this.columns.push({ members, worth, weight: 0 });
  }

  /** All groups that were added, those that fall least short of their members' prices first. */
  bestBy(prices: Float64Array): readonly (readonly number[])[] {
    const short = this.columns.map(({ members, worth }) => members.reduce((sum, device) => sum + prices[device]!, -worth));
    return [...this.columns.keys()].sort((a, b) => short[a]! - short[b]! || a - b).map((i) => this.columns[i]!.members);
  }

  sweep(times: number): void {
    for (let i = 0; i < times; i++) {
      this.sweepPairs();
      this.sweepColumns();
    }
  }

  private sweepPairs(): void {
    const { firsts, seconds, worths, weights, prices } = this;
    for (let pair = 0; pair < worths.length; pair++) {
      const first = firsts[pair]!;
      const second = seconds[pair]!;
      const over = worths[pair]! - prices[first]! - prices[second]!;
      const weight = weights[pair]!;
      if (over <= 0 && weight === 0) continue;
      const change = Math.max(-weight, (CURVATURE * over) / 2);
      weights[pair] = weight + change;
      this.change(first, change);
      this.change(second, change);
    }
  }

  private sweepColumns(): void {
    for (const column of this.columns) {
      const { members, worth, weight } = column;
      let over = worth;
      for (const device of members) over -= this.prices[device]!;
      if (over <= 0 && weight === 0) continue;
      const change = Math.max(-weight, (CURVATURE * over) / members.length);
      column.weight += change;
      for (const device of members) this.change(device, change);
    }
  }

  /** Until no two manage more than their prices. */
  raisePairs(): void {
    const { firsts, seconds, worths, prices } = this;
    for (let pair = 0; pair < worths.length; pair++) {
      const first = firsts[pair]!;
      const second = seconds[pair]!;
      const over = worths[pair]! - prices[first]! - prices[second]!;
      if (over <= 0) continue;
      prices[first]! += over / 2;
      prices[second]! += over / 2;
    }
  }

  private change(device: number, by: number): void {
    this.total[device]! += by;
    this.prices[device] = this.least[device]! + Math.max(0, (this.total[device]! - 1) / CURVATURE);
  }
}
