import type { Options } from './knapsacks.js';
import { emptyOptions } from './knapsacks.js';
import type { LayerTimes } from './layers.js';
import { INNER, LAST } from './layers.js';

/** Devices whose pipelines through the server are priced, and a round to be done in it. */
export interface PricedRelays {
  readonly microbatch: number;
  readonly layers: number;
  /** Of an inner step, of its time; but for what stages send each other of what they share. */
  readonly stepMs: number;
  readonly steps: number;
  /** By device. */
  readonly times: readonly LayerTimes[];
  /** Of a sample, over the device's uplink; and the delay of its hops. */
  readonly uplinkMs: Float64Array;
  readonly delayMs: Float64Array;
  /** By device: what it takes besides, as the last stage of a pipeline and as another; Infinity: it is none such. */
  readonly lastMs: Float64Array;
  readonly innerMs: Float64Array;
  /** By device: of the other hop at its site, where that has neither end, the least; none of a lone device. */
  readonly otherHopMs: Float64Array;
  /** Whether both ends of a pipeline are in one site, which then has a device at either of two hops. */
  readonly endsMeet: boolean;
  /** [device][place][layers]: an exchange. */
  readonly exchangeMs: readonly (readonly Float64Array[])[];
  /** Devices that reach each other directly; and of the lone ones, those of which any two are priced otherwise. */
  readonly sites: readonly (readonly number[])[];
  readonly matched: Uint8Array;
  /** [site][place][layers]: of a round, the exchange and the sums of a stage of replicas; none of a lone device. */
  readonly wideMs: readonly (readonly Float64Array[])[];
}

/** Parts of a layer that replicas are told apart by. */
export const UNITS = 4;

/** What devices may take of a pipeline whose period is from the one to the next, and what that costs in samples. */
export class RelayedOptions {
  periodMs = NaN;
  nextMs = NaN;
  readonly kindOf: Int32Array;
  readonly kinds: readonly LayerTimes[];
  /** By kind: latencies. */
  readonly latencies: readonly Options[];
  private readonly scratch: Options;

  constructor(private readonly relays: PricedRelays) {
    const { times, layers } = relays;
    this.kinds = [...new Set(times)];
    this.kindOf = Int32Array.from(times, (of) => this.kinds.indexOf(of));
    this.latencies = this.kinds.map(() => emptyOptions(layers + 1));
    this.scratch = emptyOptions(layers + 1);
  }

  /** From here on. */
  at(periodMs: number, nextMs: number): void {
    this.periodMs = periodMs;
    this.nextMs = nextMs;
    const perMs = this.relays.microbatch / periodMs;
    for (const [kind, { layerMs, againMs, headMs, headAgainMs, kept, held }] of this.kinds.entries()) {
      const options = this.latencies[kind]!;
      options.count = 0;
      for (const place of [INNER, LAST]) {
        const inTime = (each: number, head: number) => Math.floor((nextMs - (place === LAST ? head : 0)) / each);
        const fast = Math.min(kept[place]!, inTime(layerMs, headMs));
        const most = Math.max(fast, Math.min(held[place]!, Math.max(inTime(againMs, headAgainMs), place === INNER ? 1 : 0)));
        for (let k = most; k > 0 || (k === 0 && place === LAST); k--) {
          const again = k > fast;
          const head = place === LAST ? (again ? headAgainMs : headMs) : 0;
          options.places[options.count] = place;
          options.layers[options.count] = k;
          options.costs[options.count++] = perMs * (k * (again ? againMs : layerMs) + head);
        }
      }
    }
  }

  /** Of a hop at a device, beyond what a sample takes. */
  hopCost(device: number): number {
    const { microbatch, uplinkMs, delayMs } = this.relays;
    return (microbatch * uplinkMs[device]! + delayMs[device]!) / this.periodMs;
  }

  otherHopCost(device: number): number {
    return this.relays.otherHopMs[device]! / this.periodMs;
  }

  /** Of a device by itself, with all that it is charged: `once`, latency and its part of the exchange. Good until the next call. */
  priced(device: number, once: number): Options {
    const { layers: all, steps, exchangeMs, lastMs, innerMs } = this.relays;
    const { count, places, layers, costs } = this.latencies[this.kindOf[device]!]!;
    const into = this.scratch;
    const perExchange = 1 / (all * steps * this.periodMs);
    const [inner, last] = exchangeMs[device]!;
    const innerOnce = once + innerMs[device]! / this.periodMs;
    const lastOnce = once + lastMs[device]! / this.periodMs;
    into.count = count;
    for (let o = 0; o < count; o++) {
      const place = places[o]!;
      const k = layers[o]!;
      into.places[o] = place;
      into.layers[o] = k;
      into.costs[o] = (place === INNER ? innerOnce : lastOnce) + costs[o]! + (place === INNER ? inner! : last!)[k]! * k * perExchange;
    }
    return into;
  }

  /** … of one at a hop, which may have an end of the pipeline and no layer. */
  pricedAtEnd(device: number, once: number): Options {
    const options = this.priced(device, once);
    options.places[options.count] = INNER;
    options.layers[options.count] = 0;
    options.costs[options.count++] = once;
    return options;
  }

  /** The most that a replica does of a stage, in units. */
  shareOf(device: number): number {
    const { layerMs, held } = this.relays.times[device]!;
    return Math.ceil(UNITS * Math.min(this.relays.layers, Math.max(held[INNER]!, held[LAST]!), this.nextMs / layerMs));
  }
}
