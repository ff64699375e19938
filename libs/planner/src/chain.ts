import type { CostModel, GroupDraft, HopWay } from './layout.js';
import { groupCost } from './layout.js';
import { samplesWithin } from './rounds.js';

/** A pipeline of one device a stage, from the model's end to its beginning. */
export interface Chain {
  readonly stages: readonly Link[];
  /** An inner step, within the round that it was made for. */
  readonly samples: number;
}

interface Link {
  readonly device: number;
  readonly start: number;
  readonly end: number;
}

/** Of the samples aimed at: what is left then is finer than blocks are. */
const HALVINGS = 5;

/**
 * Chains for rounds of a given time. From the model's end, each device takes as many blocks as it has memory and, with its
 * exchange, time for, and the samples aimed at are raised for as long as all blocks are taken.
 */
export class Chains {
  private readonly microbatch: number;
  private readonly kinds: Kind[] = [];
  private readonly ways = new Map<number, HopWay>();

  constructor(
    private readonly model: CostModel,
    private readonly roundMs: number,
  ) {
    const { cluster, costs, request } = model;
    this.microbatch = Math.min(...request.microbatches);
    for (const members of model.kindsOf(cluster.devices.map((_, index) => index))) {
      const kind = { wholeMs: this.msOf(members[0]!, 0, costs.blocks, false), times: [] };
      for (const device of members) this.kinds[device] = kind;
    }
  }

  /** Time of the whole model a microbatch, whether or not it fits. */
  wholeMs(device: number): number {
    return this.kinds[device]!.wholeMs;
  }

  /** No chain of these devices manages more. */
  most(devices: readonly number[]): number {
    let rate = 0;
    for (const device of devices) rate += 1 / this.wholeMs(device);
    return (this.microbatch * rate * this.roundMs) / this.model.request.stepsPerRound;
  }

  /** Of some or all of these devices, in this order; undefined: none manages more than `beyond`. */
  of(devices: readonly number[], beyond = 0): Chain | undefined {
    let low = beyond;
    let high = this.most(devices);
    let best: Chain | undefined;
    if (this.deal(devices, low) === undefined) return undefined;
    for (let i = 0; i < HALVINGS; i++) {
      const samples = (low + high) / 2;
      const stages = this.deal(devices, samples);
      if (stages === undefined) high = samples;
      else {
        low = samples;
        const chain = { stages, samples: this.samplesOf(stages) };
        if (chain.samples > (best?.samples ?? beyond)) best = chain;
      }
    }
    return best;
  }

  layoutOf({ stages }: Chain): GroupDraft {
    const { microbatch, model } = this;
    return {
      microbatch,
      stages: stages
        .map(({ device, start, end }, i) => {
          const recompute = model.recomputeFor(device, start, end, microbatch, i + 1) === true;
          return { start, end, devices: [device], recompute };
        })
        .reverse(),
    };
  }

  private deal(devices: readonly number[], samples: number): readonly Link[] | undefined {
    const stages: Link[] = [];
    let end = this.model.costs.blocks;
    for (const device of devices) {
      const start = this.reach(device, end, stages.length + 1, samples);
      if (start < end) stages.push({ device, start, end });
      if (start === 0) return stages;
      end = start;
    }
    return undefined;
  }

  private reach(device: number, end: number, inFlight: number, samples: number): number {
    const { costs, request } = this.model;
    const steps = (request.stepsPerRound * samples) / this.microbatch;
    let reached = end;
    for (let start = end - 1; start >= 0; start--) {
      if (!costs.canCut(start)) continue;
      const ownMs = this.model.exchangeMs(device, costs.parameters(start, end));
      if (!(steps * this.ms(device, start, end, inFlight) + ownMs <= this.roundMs)) break;
      reached = start;
    }
    return reached;
  }

  private samplesOf(stages: readonly Link[]): number {
    const { model, microbatch } = this;
    let [periodMs, latencyMs, tailMs] = [0, 0, 0];
    stages.forEach(({ device, start, end }, i) => {
      const ms = Math.max(1e-9, this.ms(device, start, end, i + 1));
      periodMs = Math.max(periodMs, ms);
      latencyMs += ms;
      tailMs = Math.max(tailMs, model.exchangeMs(device, model.costs.parameters(start, end)));
      if (i === 0) return;
      const hop = model.hop(this.way(device, stages[i - 1]!.device), end, microbatch);
      periodMs = Math.max(periodMs, hop.periodMs);
      latencyMs += hop.activationMs + hop.gradientMs;
    });
    const cost = groupCost(microbatch, stages.length, periodMs, latencyMs, tailMs);
    return samplesWithin(cost, this.roundMs, model.request.stepsPerRound, 0);
  }

  private way(from: number, to: number): HopWay {
    const key = from * this.kinds.length + to;
    let way = this.ways.get(key);
    if (way === undefined) this.ways.set(key, (way = this.model.hopWay([from], [to])));
    return way;
  }

  /** Infinity: does not fit. */
  private ms(device: number, start: number, end: number, inFlight: number): number {
    const { blocks } = this.model.costs;
    const { times } = this.kinds[device]!;
    const table = (times[inFlight] ??= new Float64Array((blocks + 1) ** 2));
    const at = start * (blocks + 1) + end;
    if (table[at] === 0) {
      const recompute = this.model.recomputeFor(device, start, end, this.microbatch, inFlight);
      table[at] = recompute === undefined ? Infinity : Math.max(1e-9, this.msOf(device, start, end, recompute));
    }
    return table[at]!;
  }

  private msOf(device: number, start: number, end: number, recompute: boolean): number {
    const { costs, cluster } = this.model;
    const { forwardMs, backwardMs } = costs.passMs(cluster.devices[device]!, start, end, this.microbatch, recompute);
    return forwardMs + backwardMs;
  }
}

/** Devices of the same speed and memory. */
interface Kind {
  readonly wholeMs: number;
  /** [stages from here to the end][start, end]. */
  readonly times: Float64Array[];
}
