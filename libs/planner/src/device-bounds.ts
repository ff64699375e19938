import { classesOf } from './device-sets.js';
import type { CostModel } from './layout.js';
import { SUM_BITS } from './layout.js';

/** What a device can do at a microbatch size. */
interface Pace {
  readonly microbatch: number;
  /** Of the whole model, at the speed of the blocks at which the device is fastest. */
  readonly msPerSample: number;
  /** Largest part of the work that fits. */
  readonly held: number;
}

/** Infinity: not possible. */
export interface DeviceBound {
  /** Alike. */
  readonly devices: readonly number[];
  /** The whole model, a sample. */
  readonly soloMs: number;
  readonly exchangeMs: number;
  readonly roundTripMs: number;
  /** Of the exchange of a stage with all of the work, what no stage with a part of it has less of than that part. */
  readonly spreadMs: number;
  readonly paces: readonly Pace[];
  /** What the smallest cut takes to the server, a sample. */
  readonly uplinkMs: number;
  /** Reaches nobody directly: any pipeline that it is in has a relayed hop at it. */
  readonly lone: boolean;
}

/** Devices that reach each other directly. */
export interface SiteBound {
  readonly devices: readonly DeviceBound[];
  /** Is there more than one? */
  readonly direct: boolean;
  /** Of a single stage of replicas: least exchange a round, and sum a step. */
  readonly replicasTailMs: number;
  readonly replicasSumMs: number;
  /** By the count of devices beside one: least latency of a pipeline's hops. */
  readonly hopsMs: readonly number[];
  /** [microbatch size], then as above: samples a millisecond of so many, the fastest. */
  readonly rates: readonly (readonly number[])[];
}

/** Counts of devices beside one in a pipeline that are told apart, and all. */
const PARTNERS = [1, 2, 3, 4, 6, 9, 13, 19];

/** What UpperBound weighs, site by site; devices that are alike once. */
export function boundsOf(model: CostModel): readonly SiteBound[] {
  const held = new HeldWork(model);
  const valuesPerWork = leastValuesPerWork(model);
  return model.links.components().map((members) => siteBound(model, members, held, valuesPerWork));
}

function siteBound(model: CostModel, members: readonly number[], held: HeldWork, valuesPerWork: number): SiteBound {
  const { costs, request, cluster } = model;
  const smallest = Math.min(...request.microbatches);
  const cutBits = 1000 * smallestCutBits(model);
  const values = costs.parameters(0, costs.blocks);
  const way = model.links.bestAmong(members);
  const sumMs = (of: number) => {
    if (way === undefined) return Infinity;
    return request.optimizer === 'server' ? 0 : (1000 * SUM_BITS * of) / way.bitsPerSecond + 2 * way.delayMs;
  };
  const inOneLan = members.length === 1 || model.links.onlyLan(members, members) !== undefined;
  const uplinkOf = (index: number) => cutBits / cluster.devices[index]!.upBitsPerSecond;
  const fastestMs = Math.min(...members.map(uplinkOf));
  const devices = classesOf(model, members).map((alike): DeviceBound => {
    const device = alike[0]!;
    const roundTripMs = model.exchangeMs(device, 0);
    const exchangeMs = model.exchangeMs(device, values);
    const paces = request.microbatches.map((microbatch) => ({
      microbatch,
      msPerSample: atItsBest(model, device, microbatch, request.recompute === 'always') / microbatch,
      held: held.of(device, microbatch),
    }));
    // Replicas share an exchange, and sum among themselves each step; or each exchanges what the server sums.
    const sumsMs = request.optimizer === 'server' ? Infinity : request.stepsPerRound * sumMs(values);
    const spreadMs = valuesPerWork * Math.min(exchangeMs - roundTripMs, sumsMs);
    // Where links are mixed, any device of a stage may be the one whose hop is relayed.
    const uplinkMs = !inOneLan ? fastestMs : members.length === cluster.devices.length ? Infinity : uplinkOf(device);
    return {
      devices: alike,
      soloMs: soloMsPerSample(model, device),
      exchangeMs,
      roundTripMs,
      spreadMs,
      paces,
      uplinkMs,
      lone: members.length === 1,
    };
  });
  const most = members.length - 1;
  const partners = [...PARTNERS.filter((others) => others < most), most];
  const hopMs = way === undefined ? 0 : (2 * cutBits * smallest) / way.bitsPerSecond;
  const delayMs = way === undefined ? 0 : 2 * way.delayMs;
  const leastSumMs = sumMs(Math.min(...Array.from({ length: costs.blocks }, (_, at) => costs.parameters(at, at + 1))));
  return {
    devices,
    direct: members.length > 1,
    replicasTailMs: Math.min(...devices.map(({ exchangeMs }) => exchangeMs)),
    replicasSumMs: sumMs(values),
    hopsMs: partners.map((_, i) => {
      // A hop between stages of replicas is wider, but they sum.
      const least = i === 0 ? 1 : partners[i - 1]! + 1;
      return Math.min(least * (hopMs + delayMs), delayMs + hopMs / (members.length >> 1) + leastSumMs);
    }),
    rates: request.microbatches.map((_, p) => {
      const rates = devices.flatMap((bound) => bound.devices.map(() => 1 / bound.paces[p]!.msPerSample)).sort((a, b) => b - a);
      return partners.map((others) => rates.slice(0, others).reduce((sum, rate) => sum + rate, 0));
    }),
  };
}

/** Of all stages, the smallest part of the parameters for a part of the work. */
function leastValuesPerWork(model: CostModel): number {
  const { costs, request } = model;
  const microbatch = Math.min(...request.microbatches);
  const whole = workMs(model, 0, 0, costs.blocks, microbatch, false);
  let least = Infinity;
  for (const [start, end] of ranges(model)) {
    const work = workMs(model, 0, start, end, microbatch, false) / whole;
    if (work > 0) least = Math.min(least, costs.parameters(start, end) / costs.parameters(0, costs.blocks) / work);
  }
  return least;
}

function ranges({ costs }: CostModel): readonly (readonly [number, number])[] {
  const cuts = Array.from({ length: costs.blocks + 1 }, (_, at) => at).filter((at) => costs.canCut(at));
  return cuts.flatMap((start) => cuts.filter((end) => end > start).map((end) => [start, end] as const));
}

function soloMsPerSample(model: CostModel, index: number): number {
  const { costs, request } = model;
  const perSample = request.microbatches.map((size) => {
    const recompute = model.recomputeFor(index, 0, costs.blocks, size, 1);
    return recompute === undefined ? Infinity : model.stage([index], 0, costs.blocks, size, recompute).periodMs / size;
  });
  return Math.min(...perSample);
}

function smallestCutBits({ costs }: CostModel): number {
  const cuts = Array.from({ length: costs.blocks - 1 }, (_, i) => i + 1).filter((at) => costs.canCut(at));
  return Math.min(...cuts.map((at) => costs.cutBits(at)));
}

/** The largest part of a model's work that fits a device as a stage, by what it offers. */
class HeldWork {
  private readonly known = new Map<string, number>();

  constructor(private readonly model: CostModel) {}

  of(device: number, microbatch: number): number {
    const { memoryBytes, stash } = this.model.cluster.devices[device]!;
    const key = JSON.stringify([memoryBytes, stash, microbatch]);
    let held = this.known.get(key);
    if (held === undefined) this.known.set(key, (held = this.weigh(device, microbatch)));
    return held;
  }

  private weigh(device: number, microbatch: number): number {
    const { costs } = this.model;
    let most = 0;
    for (const [start, end] of ranges(this.model)) {
      if (this.model.recomputeFor(device, start, end, microbatch, end === costs.blocks ? 1 : 2) === undefined) continue;
      most = Math.max(most, workMs(this.model, 0, start, end, microbatch, false));
    }
    return most / workMs(this.model, 0, 0, costs.blocks, microbatch, false);
  }
}

function workMs({ costs, cluster }: CostModel, device: number, start: number, end: number, microbatch: number, recompute: boolean): number {
  const { forwardMs, backwardMs } = costs.workMs(cluster.devices[device]!, start, end, microbatch, recompute);
  return forwardMs + backwardMs;
}

/** Time for the whole model at the speed of the block at which the device is fastest, beside the first device. */
function atItsBest(model: CostModel, index: number, microbatch: number, recompute: boolean): number {
  const { costs, cluster } = model;
  const ms = (device: number, start: number, end: number) => workMs(model, device, start, end, microbatch, recompute);
  if (!cluster.devices.some((device) => device.blockTimes?.length)) return ms(index, 0, costs.blocks);
  let ratio = Infinity;
  for (let i = 0; i < costs.blocks; i++) {
    const reference = ms(0, i, i + 1);
    if (reference > 0) ratio = Math.min(ratio, ms(index, i, i + 1) / reference);
  }
  return ratio * ms(0, 0, costs.blocks);
}
