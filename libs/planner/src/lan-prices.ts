import type { PricedLan } from './lan-periods.js';
import { LanPricing, TOLERANCE } from './lan-pricing.js';
import type { LayerTimes } from './layers.js';
import { INNER, LAST, Layers } from './layers.js';
import type { CostModel } from './cost-model.js';
import { leastSumMs } from './gradient-sums.js';
import { Packing } from './packing.js';

/** Prices begin with this part of the credits. */
const FIRST = 0.98;

/** Turns in which pipelines are looked for that manage so many samples more than their members' prices, at one period in `step` from the first. */
const SWEEPS = [
  { first: 0, step: 3, more: 0.2 },
  { first: 1, step: 3, more: 0.2 },
  { first: 2, step: 3, more: 0.2 },
] as const;

/** Samples by which a pipeline may fall short of its members' prices and still be of use to a plan. */
const NEAR = 0.5;

/** Stage times there may be at most, times devices, times layers and layers: with more it takes a tenth of a second or longer. */
const MOST_EFFORT = 2.5e7;

/** A price is more than nothing. */
const HAIR = 1e-9;

/** Of the devices of a LAN, by device. */
export interface LanPrices {
  /** No pipeline that keeps to the LAN manages more than its members' together, but for one with replicas of more than a layer. */
  readonly prices: ReadonlyMap<number, number>;
  /** Sets of devices that make good pipelines. */
  readonly sets: readonly (readonly number[])[];
}

/** What a device is worth by itself, by the bound that is to be improved, and at least. */
export interface Credited {
  readonly solo: number;
  readonly most: number;
  readonly least: number;
}

/** What replicas take of a round for their sums. */
interface ReplicaSums {
  /** Of a stage of one layer; Infinity: these are no stages like others. */
  readonly layerMs: number;
  /** Of any other stage, or any where the former is Infinity. */
  readonly otherMs: number;
}

/** The sizes of a microbatch, but for those at which no device does a sample sooner or holds more than at a smaller one. */
interface Size {
  readonly microbatch: number;
  readonly times: readonly LayerTimes[];
}

/** Prices of devices in rounds, LAN by LAN. */
export class LanPricer {
  readonly layers: Layers;
  private readonly sizes: readonly Size[];
  private readonly hopBits: number;

  constructor(private readonly model: CostModel) {
    const { costs, request } = model;
    this.layers = new Layers(model);
    const cuts = Array.from({ length: costs.blocks - 1 }, (_, i) => i + 1).filter((at) => costs.canCut(at));
    this.hopBits = 2000 * Math.min(...cuts.map((at) => costs.cutBits(at)));
    const sizes = [...request.microbatches]
      .sort((a, b) => a - b)
      .map((microbatch) => ({ microbatch, times: this.layers.times(microbatch) }));
    this.sizes = sizes.filter((size, i) => !sizes.slice(0, i).some((smaller) => isNoBetter(size, smaller)));
  }

  /** Whether it says anything about these. */
  covers(devices: readonly number[]): boolean {
    const { request, links } = this.model;
    const { count } = this.layers;
    if (devices.length < 2 || count === 0) return false;
    if (2 * this.model.kinds.among(devices).length * devices.length * count ** 3 > MOST_EFFORT) return false;
    if (this.hopBits === Infinity || request.optimizer === 'server' || links.onlyLan(devices, devices) === undefined) return false;
    return this.sizes.every(({ times }) => devices.every((device) => times[device]!.layerMs > 0));
  }

  /** … of pipelines through the server, of which hand-overs are not charged. */
  coversRelays(): boolean {
    const { request, links, cluster } = this.model;
    if (this.layers.count === 0 || this.hopBits === Infinity || request.optimizer === 'server' || cluster.peers.length > 0) return false;
    if (cluster.devices.some(({ blockTimes = [] }) => blockTimes.length > 0)) return false;
    if (!links.components().every((members) => members.length === 1 || links.onlyLan(members, members) !== undefined)) return false;
    return this.sizes[0]!.times.every(({ layerMs }) => layerMs > 0);
  }

  sumsAmong(devices: readonly number[]): ReplicaSums {
    const { request, links } = this.model;
    const way = links.onlyLan(devices, devices)!;
    const [inner, last] = [this.layers.values[INNER]!, this.layers.values[LAST]!];
    const sumsMs = (values: number) => request.stepsPerRound * leastSumMs(values, way);
    const layerMs = sumsMs(inner[1]!);
    const otherMs = Math.min(sumsMs(inner[2] ?? Infinity), sumsMs(last[0]!));
    // One of several replicas that is fast enough alone must not exchange for longer than all of them sum.
    const alone = devices.every((device) => this.model.exchangeMs(device, inner[1]!) <= layerMs);
    return alone ? { layerMs, otherMs } : { layerMs: Infinity, otherMs: Math.min(layerMs, otherMs) };
  }

  /**
   * In a round of this time. Column generation: prices of the linear program over the pipelines found so far, with each period's;
   * and then prices raised until no pipeline manages more, which is a bound however far that got.
   */
  price(devices: readonly number[], roundMs: number, credited: ReadonlyMap<number, Credited>): LanPrices {
    const credits = devices.map((device) => credited.get(device)!);
    const least = Float64Array.from(credits, (credit) => Math.max(HAIR, credit.solo, credit.least));
    const sizes = this.sizes.map((size) => this.lanOf(devices, roundMs, size));
    const begun = new LanPricing(
      sizes[0]!,
      least.map((of, i) => Math.max(of, FIRST * credits[i]!.most)),
    );
    const packing = new Packing(least);
    for (const { first, step, more } of SWEEPS) {
      begun.sweep(more, first, step, (columns) => {
        for (const column of columns) packing.add(column);
        packing.solve();
        begun.prices.set(packing.prices);
      });
    }
    packing.solve();
    const sets = distinct(packing.near(NEAR).map(({ members }) => members.map((i) => devices[i]!)));
    let { prices } = packing;
    for (const [i, size] of sizes.entries()) {
      const pricing = i === 0 ? begun : new LanPricing(size, prices);
      pricing.prices.set(prices);
      pricing.raise();
      // A pipeline has two members at least, and was left as much short.
      prices = pricing.prices.map((price) => price + TOLERANCE / 2);
    }
    return { prices: new Map(devices.map((device, i) => [device, prices[i]!])), sets };
  }

  private lanOf(devices: readonly number[], roundMs: number, { microbatch, times }: Size): PricedLan {
    const { links, request } = this.model;
    const { bitsPerSecond, delayMs } = links.onlyLan(devices, devices)!;
    return {
      microbatch,
      layers: this.layers.count,
      roundMs: roundMs - request.stepsPerRound * this.model.tieCosts.least({ bitsPerSecond, delayMs }),
      steps: request.stepsPerRound,
      hopMs: this.hopBits / bitsPerSecond,
      hopDelayMs: 2 * delayMs,
      times: devices.map((device) => times[device]!),
      exchangeMs: devices.map((device) => this.layers.values.map((least) => least.map((values) => this.model.exchangeMs(device, values)))),
      sumsMs: this.sumsAmong(devices).layerMs,
    };
  }
}

function isNoBetter({ times }: Size, smaller: Size): boolean {
  const most = (a: readonly number[], b: readonly number[]) => a.every((count, place) => count <= b[place]!);
  return times.every((of, device) => {
    const other = smaller.times[device]!;
    const slower = (['layerMs', 'againMs', 'headMs', 'headAgainMs'] as const).every((key) => of[key] >= other[key] * (1 - HAIR));
    return slower && most(of.kept, other.kept) && most(of.held, other.held);
  });
}

function distinct(sets: readonly (readonly number[])[]): readonly (readonly number[])[] {
  return [...new Map(sets.map((set) => [[...set].sort((a, b) => a - b).join(), set])).values()];
}
