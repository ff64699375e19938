import { Cover } from './knapsacks.js';
import type { PricedLan } from './lan-periods.js';
import { INNER } from './layers.js';

/** Parts of a layer that replicas are told apart by. */
const UNITS = 40;

/** Layers of a pipeline that devices share for which its period is too short: covers, two or more whose parts of layers come to so many, each for its price. */
export class SharedLayers {
  private readonly cover: Cover;
  /** Of each layer, in samples. */
  private latency = NaN;

  constructor(
    private readonly lan: PricedLan,
    private readonly prices: Float64Array,
  ) {
    this.cover = new Cover(lan.times.length, UNITS * lan.layers);
  }

  /** What a layer costs at least where any part of a device may be taken. */
  leastOf(periodMs: number, nextMs: number): number {
    let least = Infinity;
    const latency = this.forEachSharer(periodMs, nextMs, (device, units) => (least = Math.min(least, this.prices[device]! / units)));
    return UNITS * least + latency;
  }

  /** Weighs who shares at periods from the one to the other, for less than `most`; returns the least of a layer. */
  weigh(periodMs: number, nextMs: number, most: number): number {
    const { cover, prices } = this;
    cover.begin(most);
    this.latency = this.forEachSharer(periodMs, nextMs, (device, units) => cover.insert(device, prices[device]!, units));
    cover.settle();
    let least = Infinity;
    for (let shared = 1; shared <= this.lan.layers; shared++) least = Math.min(least, this.cost(shared) / shared);
    return least;
  }

  /** What so many cost. */
  cost(layers: number): number {
    return this.cover.cost(layers * UNITS) + layers * this.latency;
  }

  /** Who shares so many. */
  members(layers: number): readonly number[] {
    return this.cover.members(layers * UNITS);
  }

  /** Returns a layer's latency, in samples. */
  private forEachSharer(periodMs: number, nextMs: number, visit: (device: number, units: number) => void): number {
    const { times, microbatch } = this.lan;
    let fastestMs = Infinity;
    for (let device = 0; device < times.length; device++) {
      const { layerMs, held } = times[device]!;
      if (layerMs <= periodMs || held[INNER]! < 1) continue;
      fastestMs = Math.min(fastestMs, layerMs);
      visit(device, Math.ceil((UNITS * nextMs) / layerMs));
    }
    return (microbatch * fastestMs) / periodMs;
  }
}
