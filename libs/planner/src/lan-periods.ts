import type { LayerTimes } from './layers.js';
import { INNER, LAST } from './layers.js';

/** One LAN, and a round to be done in it. */
export interface PricedLan {
  readonly microbatch: number;
  readonly layers: number;
  /** But for what stages send each other of what they share. */
  readonly roundMs: number;
  readonly steps: number;
  /** Of a hop: period a sample, and delay. */
  readonly hopMs: number;
  readonly hopDelayMs: number;
  /** By device. */
  readonly times: readonly LayerTimes[];
  /** [device][place][layers]: an exchange. */
  readonly exchangeMs: readonly (readonly Float64Array[])[];
  /** What replicas of a stage of one layer take of a round for their sums; Infinity: there are none such. */
  readonly sumsMs: number;
}

/** Periods at which layers are shared: from one on, to where the next begin. */
export interface SharedPeriods {
  readonly ms: number;
  /** The latest of the other periods that is no longer. */
  readonly period: number;
}

/** Rounding. */
const HAIR = 1e-9;

/** From one period to the next at which layers are shared. */
const FINE = 1.01;

/** Which periods a sample pipelines of a LAN may have, and what its devices do within each, whatever they are worth. */
export class LanPeriods {
  readonly ms: Float64Array;
  /** [device][place][layers]; where `rowOf` says. */
  readonly exchangeMs: Float64Array;
  readonly leastExchangeMs: number;
  /** By period: the least that the longest exchange of a pipeline is. */
  readonly shortestMs: Float64Array;
  private readonly count: number;
  private readonly width: number;
  /** [period][kind][place]: layers done in time with activations kept, and at all. */
  private readonly inTime: Int16Array;
  private readonly kindOf: Int32Array;
  private readonly kinds: number;
  private readonly slowestMs: number;

  constructor({ times, layers, exchangeMs, roundMs, steps, hopMs }: PricedLan) {
    this.count = times.length;
    this.width = layers + 1;
    const kinds = [...new Set(times)];
    this.kinds = kinds.length;
    this.kindOf = Int32Array.from(times, (of) => kinds.indexOf(of));
    this.exchangeMs = new Float64Array(2 * this.count * this.width);
    for (const [device, places] of exchangeMs.entries()) for (const [place, ms] of places.entries()) this.exchangeMs.set(ms, this.rowOf(device, place));
    this.leastExchangeMs = this.exchangeMs.reduce((least, ms) => Math.min(least, ms), Infinity);
    this.slowestMs = times.reduce((most, { layerMs }) => Math.max(most, layerMs), 0);
    const stageMs = kinds.flatMap((of) => [INNER, LAST].flatMap((place) => Array.from({ length: of.held[place]! + 1 }, (_, layers) => msOf(of, place, layers))));
    const all = new Set([hopMs, ...stageMs]);
    this.ms = Float64Array.from([...all].filter((ms) => ms > 0 && ms >= hopMs && ms < roundMs / steps)).sort();
    this.inTime = this.layersInTime(kinds);
    this.shortestMs = this.shortestExchanges(layers);
  }

  /** Of exchanges, by layers. */
  rowOf(device: number, place: number): number {
    return (2 * device + place) * this.width;
  }

  /** Most layers that a device does in time with activations kept; less than none: no such stage. */
  mostKept(period: number, device: number, place: number): number {
    return this.inTime[this.at(period, device, place)]!;
  }

  /** … at all. */
  most(period: number, device: number, place: number): number {
    return this.inTime[this.at(period, device, place) + 1]!;
  }

  private at(period: number, device: number, place: number): number {
    return ((period * this.kinds + this.kindOf[device]!) * 2 + place) * 2;
  }

  /** In their order; the last are those that are too long to share layers. */
  shared(): readonly SharedPeriods[] {
    const { ms: periods, slowestMs } = this;
    const shared: SharedPeriods[] = [];
    for (let period = 0; period < periods.length; period++) {
      const endMs = Math.min(slowestMs, periods[period + 1] ?? Infinity);
      for (let ms = periods[period]!; ms < endMs; ms *= FINE) shared.push({ ms, period });
    }
    return [...shared, { ms: slowestMs, period: periods.length - 1 }];
  }

  private layersInTime(kinds: readonly LayerTimes[]): Int16Array {
    const inTime = new Int16Array(this.ms.length * kinds.length * 4);
    let column = 0;
    for (const of of kinds) {
      for (const place of [INNER, LAST]) {
        let most = -1;
        for (let period = 0; period < this.ms.length; period++) {
          while (most < of.held[place]! && msOf(of, place, most + 1) <= this.ms[period]! * (1 + HAIR)) most++;
          const at = 4 * kinds.length * period + column;
          inTime[at] = Math.min(most, of.kept[place]!);
          inTime[at + 1] = most;
        }
        column += 2;
      }
    }
    return inTime;
  }

  /** By period, the shortest exchange such that devices have all layers between them within it; the longer the period, the shorter. */
  private shortestExchanges(layers: number): Float64Array {
    const { exchangeMs, count } = this;
    const msFor = (device: number, taken: number) => Math.min(exchangeMs[this.rowOf(device, INNER) + taken]!, exchangeMs[this.rowOf(device, LAST) + taken]!);
    const steps = Array.from({ length: count * layers }, (_, at) => ({ device: at % count, ms: msFor(at % count, 1 + Math.floor(at / count)) }));
    steps.sort((a, b) => b.ms - a.ms);
    const within = new Int32Array(count).fill(layers);
    const shortest = new Float64Array(this.ms.length).fill(Infinity);
    let next = 0;
    for (let period = 0; period < this.ms.length; period++) {
      const mostOf = (device: number) => Math.max(this.most(period, device, INNER), this.most(period, device, LAST), 0);
      let all = 0;
      for (let device = 0; device < count; device++) all += Math.min(within[device]!, mostOf(device));
      while (all >= layers) {
        const { device, ms } = steps[next]!;
        const less = within[device]! <= mostOf(device) ? 1 : 0;
        if (all - less < layers) {
          shortest[period] = Math.max(ms, this.leastExchangeMs);
          break;
        }
        all -= less;
        within[device]!--;
        next++;
      }
    }
    return shortest;
  }
}

function msOf({ layerMs, againMs, headMs, headAgainMs, kept }: LayerTimes, place: number, layers: number): number {
  const again = layers > kept[place]!;
  return layers * (again ? againMs : layerMs) + (place === LAST ? (again ? headAgainMs : headMs) : 0);
}
