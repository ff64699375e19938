import type { MeasuredCluster, ModelProfile, PlannedMemory, PlanRequest } from '@longtail/core';
import { Links } from './links.js';
import type { GroupCost } from './rounds.js';
import { StageCosts } from './stage-costs.js';

/** A stage as a search decides it. Devices by index. */
export interface StageLayout {
  readonly start: number;
  readonly end: number;
  readonly devices: readonly number[];
  readonly recompute: boolean;
}

/** A group as a search decides it: its stages in the order of the model. */
export interface GroupLayout {
  readonly microbatch: number;
  readonly stages: readonly StageLayout[];
}

/** A stage's times, in milliseconds. */
export interface StageCost {
  /** Between two microbatches, all replicas at work. */
  readonly periodMs: number;
  /** Of one microbatch on the slowest replica. */
  readonly latencyMs: number;
  /** Gradient sums among the replicas, an inner step. */
  readonly syncMs: number;
  /** Gradients to the server and parameters back, a round. */
  readonly exchangeMs: number;
}

/** How two stages reach each other. */
export interface HopWay {
  readonly forwardBitsPerSecond: number;
  readonly backwardBitsPerSecond: number;
  readonly forwardDelayMs: number;
  readonly backwardDelayMs: number;
}

export interface HopCost {
  readonly periodMs: number;
  readonly activationMs: number;
  readonly gradientMs: number;
}

/** Gradients among replicas of a stage are not coded. */
export const SUM_BITS = 32;

/** What any layout of a job over a cluster costs. */
export class CostModel {
  readonly costs: StageCosts;
  readonly links: Links;
  private readonly kinds: readonly string[];

  constructor(
    profile: ModelProfile,
    readonly cluster: MeasuredCluster,
    readonly request: PlanRequest,
  ) {
    this.costs = new StageCosts(profile, request);
    this.links = new Links(cluster);
    this.kinds = cluster.devices.map(({ flopsPerSecond, memoryBytes, stash, blockTimes }) =>
      JSON.stringify([flopsPerSecond, memoryBytes, stash, blockTimes]),
    );
  }

  /** A stage needs the stash of as many microbatches as there are stages from it to the end (1F1B); undefined: it does not fit, even so. */
  recomputeFor(device: number, start: number, end: number, microbatch: number, inFlight: number): boolean | undefined {
    const { memoryBytes } = this.cluster.devices[device]!;
    const fits = (recompute: boolean) => this.memory(device, start, end, microbatch, inFlight, recompute).total <= memoryBytes;
    const { recompute } = this.request;
    if (recompute !== 'always' && fits(false)) return false;
    return recompute !== 'never' && fits(true) ? true : undefined;
  }

  memory(device: number, start: number, end: number, microbatch: number, inFlight: number, recompute: boolean): PlannedMemory {
    return this.costs.memory(start, end, microbatch, inFlight, recompute, this.cluster.devices[device]!.stash);
  }

  /** Whether a stage of the only group can do without the server. */
  stepsForItself(devices: readonly number[], start: number, end: number): boolean {
    return this.costs.mayStep(start, end) && (this.request.optimizer !== 'server' || devices.length === 1);
  }

  /** Devices apart by speed, memory and what takes it. */
  kindsOf(devices: readonly number[]): readonly (readonly number[])[] {
    const kinds = new Map<string, number[]>();
    for (const device of devices) {
      const kind = kinds.get(this.kinds[device]!);
      if (kind === undefined) kinds.set(this.kinds[device]!, [device]);
      else kind.push(device);
    }
    return [...kinds.values()];
  }

  /** Devices of one stage must reach each other directly. */
  mayShareStage(devices: readonly number[]): boolean {
    if (this.links.onlyLan(devices, devices) !== undefined) return true;
    return devices.every((a, i) => devices.slice(i + 1).every((b) => this.links.way(a, b).direct));
  }

  stage(devices: readonly number[], start: number, end: number, microbatch: number, recompute: boolean): StageCost {
    const values = this.costs.parameters(start, end);
    let rate = 0;
    let latencyMs = 0;
    for (const index of devices) {
      const device = this.cluster.devices[index]!;
      const { forwardMs, backwardMs } = this.costs.stageMs(device, start, end, microbatch, recompute);
      // A stage without arithmetic must not be infinitely fast.
      const ms = Math.max(1e-9, forwardMs + backwardMs);
      rate += 1 / ms;
      latencyMs = Math.max(latencyMs, ms);
    }
    return { periodMs: devices.length === 1 ? latencyMs : 1 / rate, latencyMs, ...this.sumCost(devices, values) };
  }

  /** Where the server steps, it adds up what each replica sends; else these add up first, and the one with the best link exchanges. */
  private sumCost(devices: readonly number[], values: number): Pick<StageCost, 'syncMs' | 'exchangeMs'> {
    const exchanges = devices.map((device) => this.exchangeMs(device, values));
    if (this.request.optimizer === 'server') return { syncMs: 0, exchangeMs: Math.max(...exchanges) };
    const { syncMs, broadcastMs } = this.sumAmong(devices, values);
    return { syncMs, exchangeMs: Math.min(...exchanges) + broadcastMs };
  }

  /** Gradients of `values` parameters up, and parameters down. */
  exchangeMs(device: number, values: number): number {
    const { upBitsPerSecond, downBitsPerSecond, roundTripMs } = this.cluster.devices[device]!;
    const { upBitsPerValue, downBitsPerValue } = this.request;
    return roundTripMs + 1000 * values * (upBitsPerValue / upBitsPerSecond + downBitsPerValue / downBitsPerSecond);
  }

  /** Ring all-reduce (Patarasuk & Yuan 2009): each sends 2(r − 1)/r of the vector, at the pace of the slowest link. */
  private sumAmong(devices: readonly number[], values: number): { syncMs: number; broadcastMs: number } {
    const count = devices.length;
    if (count === 1) return { syncMs: 0, broadcastMs: 0 };
    let bitsPerSecond = Infinity;
    let delayMs = 0;
    for (let i = 0; i < count; i++) {
      const way = this.links.way(devices[i]!, devices[(i + 1) % count]!);
      bitsPerSecond = Math.min(bitsPerSecond, way.bitsPerSecond);
      delayMs = Math.max(delayMs, way.delayMs);
    }
    const onceMs = (1000 * SUM_BITS * values) / bitsPerSecond;
    return { syncMs: (2 * (count - 1) * onceMs) / count + 2 * (count - 1) * delayMs, broadcastMs: onceMs + delayMs };
  }

  hopWay(from: readonly number[], to: readonly number[]): HopWay {
    const lan = this.links.onlyLan(from, to);
    if (lan !== undefined) {
      const bitsPerSecond = lan.bitsPerSecond * Math.min(from.length, to.length);
      return {
        forwardBitsPerSecond: bitsPerSecond,
        backwardBitsPerSecond: bitsPerSecond,
        forwardDelayMs: lan.delayMs,
        backwardDelayMs: lan.delayMs,
      };
    }
    let [forward, backward, forwardDelayMs, backwardDelayMs] = [Infinity, Infinity, 0, 0];
    for (const a of from) {
      for (const b of to) {
        const [there, back] = [this.links.way(a, b), this.links.way(b, a)];
        forward = Math.min(forward, there.bitsPerSecond);
        backward = Math.min(backward, back.bitsPerSecond);
        forwardDelayMs = Math.max(forwardDelayMs, there.delayMs);
        backwardDelayMs = Math.max(backwardDelayMs, back.delayMs);
      }
    }
    // Microbatches go side by side, as many as the smaller of the two stages has devices.
    const side = Math.min(from.length, to.length);
    return { forwardBitsPerSecond: forward * side, backwardBitsPerSecond: backward * side, forwardDelayMs, backwardDelayMs };
  }

  /** A stage's port carries activations one way and gradients the other, on both of its sides: what passes one cut, in both directions, loads it as much. */
  hop(way: HopWay, cut: number, microbatch: number): HopCost {
    const bits = 1000 * this.costs.cutBits(cut) * microbatch;
    const forwardMs = bits / way.forwardBitsPerSecond;
    const backwardMs = bits / way.backwardBitsPerSecond;
    return {
      periodMs: forwardMs + backwardMs,
      activationMs: way.forwardDelayMs + forwardMs,
      gradientMs: way.backwardDelayMs + backwardMs,
    };
  }

  /** Once a round: sums among the stage's replicas, and its exchange with the server; Infinity: it cannot be without. */
  tailMs({ syncMs, exchangeMs }: StageCost, devices: readonly number[], start: number, end: number, alone: boolean): number {
    if (!alone) return this.request.stepsPerRound * syncMs + exchangeMs;
    return this.stepsForItself(devices, start, end) ? this.request.stepsPerRound * syncMs : Infinity;
  }

  group(layout: GroupLayout, alone: boolean): GroupCost {
    const { microbatch, stages } = layout;
    const costs = stages.map(({ devices, start, end, recompute }) => this.stage(devices, start, end, microbatch, recompute));
    const hops = stages.slice(1).map((stage, i) => this.hop(this.hopWay(stages[i]!.devices, stage.devices), stage.start, microbatch));
    const periodMs = Math.max(...costs.map((cost) => cost.periodMs), ...hops.map((hop) => hop.periodMs));
    const latencyMs =
      costs.reduce((sum, cost) => sum + cost.latencyMs, 0) + hops.reduce((sum, hop) => sum + hop.activationMs + hop.gradientMs, 0);
    const tailMs = Math.max(...stages.map(({ devices, start, end }, s) => this.tailMs(costs[s]!, devices, start, end, alone)));
    return groupCost(microbatch, stages.length, periodMs, latencyMs, tailMs);
  }
}

/** The replicas of a single stage work side by side and fill nothing. */
export function groupCost(microbatch: number, stages: number, periodMs: number, latencyMs: number, tailMs: number): GroupCost {
  return stages === 1
    ? { microbatch, periodMs, fillMs: 0, tailMs, minSamples: 0 }
    : { microbatch, periodMs, fillMs: latencyMs - periodMs, tailMs, minSamples: microbatch };
}
