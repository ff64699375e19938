import { classesOf } from './device-sets.js';
import type { CostModel } from './cost-model.js';
import { leastSumMs } from './gradient-sums.js';

/** What a device can do at a microbatch size. */
export interface Pace {
  readonly microbatch: number;
  /** Of the whole model, at the speed of the blocks at which the device is fastest. */
  readonly msPerSample: number;
  /** Largest part of the work that fits, none where that is no work; less: nothing fits. */
  readonly held: number;
}

/** Infinity: not possible. */
export interface DeviceBound {
  /** Alike. */
  readonly devices: readonly number[];
  /** The whole model, a sample. */
  readonly soloMs: number;
  readonly exchangeMs: number;
  /** The least of those that it reaches directly. */
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
  /** By the count of devices beside one: least latency of a pipeline's hops, with a device a stage, and what these send each other of what they share. */
  readonly hopsMs: readonly number[];
  /** The same of stages some of which have replicas, be others elsewhere; and what these sum a step. */
  readonly wideHopMs: number;
  readonly leastSumMs: number;
  /** [microbatch size], then as above: samples a millisecond of so many, the fastest. */
  readonly rates: readonly (readonly number[])[];
}

/** Counts of devices beside one in a pipeline that are told apart, and all. */
const PARTNERS = [1, 2, 3, 4, 6, 9, 13, 19];

/** Of what takes no time that can be told. */
const LEAST_MS = 1e-9;

/** What UpperBound weighs, site by site; devices that are alike once. */
export function boundsOf(model: CostModel): readonly SiteBound[] {
  const work = new Work(model);
  const held = new HeldWork(model, work);
  const valuesPerWork = leastValuesPerWork(model, work);
  const leastTieMs = model.tieCosts.leastAnywhere();
  return model.links.components().map((members) => siteBound(model, members, { work, held, valuesPerWork, leastTieMs }));
}

/** Of all devices. */
interface Everywhere {
  readonly work: Work;
  readonly held: HeldWork;
  readonly valuesPerWork: number;
  readonly leastTieMs: number;
}

function siteBound(model: CostModel, members: readonly number[], { work, held, valuesPerWork, leastTieMs }: Everywhere): SiteBound {
  const { costs, request, cluster } = model;
  const smallest = Math.min(...request.microbatches);
  const cutBits = 1000 * smallestCutBits(model);
  const values = costs.parameters(0, costs.blocks);
  const way = model.links.bestAmong(members);
  const sumMs = (of: number) => {
    if (way === undefined) return Infinity;
    return request.optimizer === 'server' ? 0 : leastSumMs(of, way);
  };
  const inOneLan = members.length === 1 || model.links.onlyLan(members, members) !== undefined;
  const uplinkOf = (index: number) => Math.max(LEAST_MS, cutBits / cluster.devices[index]!.upBitsPerSecond);
  const fastestMs = Math.min(...members.map(uplinkOf));
  // Any of them may be the replica that exchanges, or that a hop is relayed at.
  const roundTripMs = Math.min(...members.map((index) => model.exchangeMs(index, 0)));
  const devices = classesOf(model, members).map((alike): DeviceBound => {
    const device = alike[0]!;
    const exchangeMs = model.exchangeMs(device, values);
    const soloMs = soloMsPerSample(model, device);
    // Replicas of the whole model keep their activations, whatever stages have to do.
    const again = request.recompute === 'always' && soloMs === Infinity;
    const paces = request.microbatches.map((microbatch) => ({
      microbatch,
      msPerSample: work.atItsBest(device, microbatch, again) / microbatch,
      held: held.of(device, microbatch),
    }));
    // Replicas share an exchange, and sum among themselves each step; or each exchanges what the server sums.
    const sumsMs = request.optimizer === 'server' ? Infinity : request.stepsPerRound * sumMs(values);
    const spreadMs = valuesPerWork * Math.min(exchangeMs - model.exchangeMs(device, 0), sumsMs);
    // Where links are mixed, any device of a stage may be the one whose hop is relayed.
    const uplinkMs = !inOneLan ? fastestMs : members.length === cluster.devices.length ? Infinity : uplinkOf(device);
    return {
      devices: alike,
      soloMs,
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
  // Ends that no link joins reach each other through the server.
  const tieMs = way === undefined ? 0 : inOneLan ? model.tieCosts.least(way) : Math.min(...members.map((device) => model.tieCosts.leastOf(device)));
  return {
    devices,
    direct: members.length > 1,
    replicasTailMs: Math.min(...devices.map(({ exchangeMs }) => exchangeMs)),
    replicasSumMs: sumMs(values),
    hopsMs: partners.map((_, i) => (i === 0 ? 1 : partners[i - 1]! + 1) * (hopMs + delayMs) + tieMs),
    wideHopMs: delayMs + hopMs / (members.length >> 1) + leastTieMs,
    leastSumMs: sumMs(Math.min(...Array.from({ length: costs.blocks }, (_, at) => costs.parameters(at, at + 1)))),
    rates: request.microbatches.map((_, p) => {
      const rates = devices.flatMap((bound) => bound.devices.map(() => 1 / bound.paces[p]!.msPerSample)).sort((a, b) => b - a);
      return partners.map((others) => rates.slice(0, others).reduce((sum, rate) => sum + rate, 0));
    }),
  };
}

/** Of all stages, the smallest part of the parameters for a part of the work. */
function leastValuesPerWork(model: CostModel, work: Work): number {
  const { costs, request } = model;
  const microbatch = Math.min(...request.microbatches);
  const whole = work.of(0, costs.blocks, microbatch);
  let least = Infinity;
  for (const [start, end] of ranges(model)) {
    const part = work.of(start, end, microbatch) / whole;
    if (part > 0) least = Math.min(least, costs.parameters(start, end) / costs.parameters(0, costs.blocks) / part);
  }
  return least;
}

function ranges({ costs }: CostModel): readonly (readonly [number, number])[] {
  const cuts = Array.from({ length: costs.blocks + 1 }, (_, at) => at).filter((at) => costs.canCut(at));
  return cuts.flatMap((start) => cuts.filter((end) => end > start).map((end) => [start, end] as const));
}

function soloMsPerSample(model: CostModel, index: number): number {
  const { costs, request } = model;
  const perSample = request.microbatches.map((size) => (model.memory.holds(index, size) ? model.stage([index], 0, costs.blocks, size, false).periodMs / size : Infinity));
  return Math.min(...perSample);
}

function smallestCutBits({ costs }: CostModel): number {
  const cuts = Array.from({ length: costs.blocks - 1 }, (_, i) => i + 1).filter((at) => costs.canCut(at));
  return Math.min(...cuts.map((at) => costs.cutBits(at)));
}

/** The largest part of a model's work that fits a device as a stage, by what it offers. */
class HeldWork {
  private readonly known = new Map<string, number>();

  constructor(
    private readonly model: CostModel,
    private readonly work: Work,
  ) {}

  of(device: number, microbatch: number): number {
    const { memoryBytes, stashFactor } = this.model.cluster.devices[device]!;
    const key = JSON.stringify([memoryBytes, stashFactor, microbatch]);
    let held = this.known.get(key);
    if (held === undefined) this.known.set(key, (held = this.weigh(device, microbatch)));
    return held;
  }

  private weigh(device: number, microbatch: number): number {
    const { costs } = this.model;
    let most = -Infinity;
    for (const [start, end] of ranges(this.model)) {
      if (this.model.memory.recomputeFor(device, start, end, microbatch, end === costs.blocks ? 1 : 2) === undefined) continue;
      most = Math.max(most, this.work.of(start, end, microbatch));
    }
    return most / this.work.of(0, costs.blocks, microbatch);
  }
}

/**
 * What the model's parts are of its whole: for each block the least time that it takes any device, so that no device does a part of the
 * work in less than that part of its time for all of it at its best. A block that takes some device no time beside the call is no work.
 */
class Work {
  private readonly known = new Map<string, Float64Array>();
  private readonly isMeasured: boolean;

  constructor(private readonly model: CostModel) {
    this.isMeasured = model.cluster.devices.some((device) => device.blockTimes?.length);
  }

  of(start: number, end: number, microbatch: number, recompute = false): number {
    const sums = this.sumsOf(microbatch, recompute);
    return sums[end]! - sums[start]!;
  }

  /** Milliseconds of the whole model at the speed of the block at which the device is fastest. */
  atItsBest(device: number, microbatch: number, recompute: boolean): number {
    const { blocks } = this.model.costs;
    if (!this.isMeasured) return this.msOn(device, 0, blocks, microbatch, recompute);
    let ratio = Infinity;
    for (let i = 0; i < blocks; i++) {
      const least = this.of(i, i + 1, microbatch, recompute);
      if (least > 0) ratio = Math.min(ratio, this.msOn(device, i, i + 1, microbatch, recompute) / least);
    }
    return Math.max(LEAST_MS, ratio * this.of(0, blocks, microbatch, recompute));
  }

  private sumsOf(microbatch: number, recompute: boolean): Float64Array {
    const key = `${microbatch} ${recompute}`;
    let sums = this.known.get(key);
    if (sums === undefined) this.known.set(key, (sums = this.sum(microbatch, recompute)));
    return sums;
  }

  private sum(microbatch: number, recompute: boolean): Float64Array {
    const { costs, cluster } = this.model;
    const devices = this.isMeasured ? cluster.devices.map((_, i) => i) : [0];
    const least = Array.from({ length: costs.blocks }, (_, i) => Math.min(...devices.map((device) => this.msOn(device, i, i + 1, microbatch, recompute))));
    const known = least.some((ms) => ms > 0);
    const sums = new Float64Array(costs.blocks + 1);
    least.forEach((ms, i) => (sums[i + 1] = sums[i]! + (known ? Math.max(0, ms) : 1)));
    return sums;
  }

  private msOn(device: number, start: number, end: number, microbatch: number, recompute: boolean): number {
    const { costs, cluster } = this.model;
    const { forwardMs, backwardMs } = costs.workMs(cluster.devices[device]!, start, end, microbatch, recompute);
    return forwardMs + backwardMs;
  }
}
