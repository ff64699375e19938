import { bringerOf, type MeasuredCluster, type ModelProfile, type PlannedMemory, type PlanRequest } from '@longtail/core';
import type { Way } from './links.js';
import { Links } from './links.js';
import type { GroupCost } from './rounds.js';
import { StageCosts } from './stage-costs.js';
import { Ties } from './ties.js';
import { busiest, chunksOf, heldWith } from './turns.js';

/** A stage as a search decides it. Devices by index. */
export interface StageDraft {
  readonly start: number;
  readonly end: number;
  readonly devices: readonly number[];
  readonly recompute: boolean;
}

/** A group as a search decides it: its stages in the order of the model. */
export interface GroupDraft {
  readonly microbatch: number;
  readonly stages: readonly StageDraft[];
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

/** Of a vector that several hold, what each sends for all to have the sum (ADR 26): 2(r − 1)/r, as any all-reduce at best (Patarasuk & Yuan 2009). */
export function sentInSum(holders: number): number {
  return (2 * (holders - 1)) / holders;
}

/** What that takes over ways that are all like this. Two send each other all of it, more send parts and then their sums. */
export function sumMs(values: number, holders: number, { bitsPerSecond, delayMs }: Omit<Way, 'direct'>): number {
  return (1000 * SUM_BITS * values * sentInSum(holders)) / bitsPerSecond + (holders === 2 ? 1 : 2) * delayMs;
}

/** … of however many, over ways no better than this. */
export function leastSumMs(values: number, way: Omit<Way, 'direct'>): number {
  return sumMs(values, 2, way);
}

/** What any layout of a job over a cluster costs. */
export class CostModel {
  readonly costs: StageCosts;
  readonly links: Links;
  /** What stages have to tell each other at each inner step; where the server steps, nothing. */
  readonly ties: Ties;
  /** Values that the first stage and the last share, wherever the model is cut. */
  private readonly leastTied: number;
  private readonly kinds: readonly string[];
  private readonly likenesses: (string | undefined)[] = [];

  constructor(
    profile: ModelProfile,
    readonly cluster: MeasuredCluster,
    readonly request: PlanRequest,
  ) {
    this.costs = new StageCosts(profile, request);
    this.links = new Links(cluster);
    this.ties = new Ties(request.optimizer === 'server' ? [] : profile.blocks);
    const { blocks } = this.costs;
    const cuts = Array.from({ length: blocks - 1 }, (_, i) => i + 1).filter((at) => this.costs.canCut(at));
    this.leastTied = cuts.length === 0 ? 0 : this.ties.values({ start: 0, end: cuts[0]! }, { start: cuts.at(-1)!, end: blocks });
    this.kinds = cluster.devices.map(({ flopsPerSecond, memoryBytes, stashFactor, blockTimes, handOverMs }) =>
      JSON.stringify([flopsPerSecond, memoryBytes, stashFactor, blockTimes, handOverMs]),
    );
  }

  /** Whether a device has room for the whole model. `microbatch`: @default the smallest, which decides it */
  holds(device: number, microbatch = Math.min(...this.request.microbatches)): boolean {
    const { memoryBytes, stashFactor } = this.cluster.devices[device]!;
    return this.costs.memoryBytes(0, this.costs.blocks, microbatch, 1, false, stashFactor) <= memoryBytes;
  }

  /** Whether blocks may be computed again. Who holds the whole model works in single passes, which keep nothing until later. */
  mayRecompute(start: number, end: number): boolean {
    return this.request.recompute !== 'never' && (start > 0 || end < this.costs.blocks);
  }

  /** Whether a stage with so many stages from it to the end must compute activations again for want of memory; undefined: it does not fit, even so. */
  recomputeFor(device: number, start: number, end: number, microbatch: number, toEnd: number): boolean | undefined {
    if (start === 0 && end === this.costs.blocks) return this.holds(device, microbatch) ? false : undefined;
    const inFlight = this.stashes(toEnd, microbatch);
    const { stashFactor } = this.cluster.devices[device]!;
    const bytesWith = (recompute: boolean) => this.costs.memoryBytes(start, end, microbatch, inFlight, recompute, stashFactor);
    return this.recomputeWhere(device, bytesWith(false), bytesWith(true));
  }

  /** The same for a stage of a group. */
  recomputeIn({ stages, microbatch }: GroupDraft, index: number): boolean | undefined {
    const { devices, start, end } = stages[index]!;
    if (chunksOf(stages) === 1) {
      const needs = devices.map((device) => this.recomputeFor(device, start, end, microbatch, stages.length - index));
      return needs.includes(undefined) ? undefined : needs.includes(true);
    }
    const [device] = devices as [number];
    const inFlight = this.inFlight({ stages, microbatch }, index);
    const held = heldWith(stages, index);
    const bytesWith = (recompute: boolean) => {
      const as = held.map((stage) => ({ ...stage, recompute }));
      return this.memoryOf(device, as, microbatch, inFlight).total;
    };
    return this.recomputeWhere(device, bytesWith(false), bytesWith(true));
  }

  /** By what it takes with all activations kept, and with recompute. */
  private recomputeWhere(device: number, keptBytes: number, againBytes: number): boolean | undefined {
    const { memoryBytes } = this.cluster.devices[device]!;
    const { recompute } = this.request;
    if (recompute !== 'always' && keptBytes <= memoryBytes) return false;
    return recompute !== 'never' && againBytes <= memoryBytes ? true : undefined;
  }

  /** Stashes that a device of a stage holds at once, of all its stages, whatever it has room for. */
  inFlight({ stages, microbatch }: GroupDraft, index: number): number {
    const chunks = chunksOf(stages);
    if (chunks === 1) return stages.length === 1 ? 1 : this.stashes(stages.length - index, microbatch);
    const workers = stages.length / chunks;
    const rank = index % workers;
    // Interleaved 1F1B runs so many passes ahead (Narayanan et al. 2021), and then one forward.
    return Math.min(this.mostMicrobatches(microbatch) * chunks, (chunks - 1) * workers + 2 * (workers - 1 - rank) + 1);
  }

  /** Under 1F1B as many as there are stages from it to the end; GPipe keeps all, which may be the whole batch's: a group's share moves with its speed. */
  private stashes(toEnd: number, microbatch: number): number {
    return this.request.schedule === 'gpipe' ? this.mostMicrobatches(microbatch) : toEnd;
  }

  private mostMicrobatches(microbatch: number): number {
    return Math.ceil((this.request.local?.batch ?? this.request.batch) / microbatch);
  }

  memory(device: number, start: number, end: number, microbatch: number, inFlight: number, recompute: boolean): PlannedMemory {
    return this.costs.memory(start, end, microbatch, inFlight, recompute, this.cluster.devices[device]!.stashFactor);
  }

  /** Of a device that holds all of these stages: any of them may have what is in flight. */
  memoryOf(device: number, stages: readonly StageDraft[], microbatch: number, inFlight: number): PlannedMemory {
    return stages
      .map(({ start, end, recompute }) => this.memory(device, start, end, microbatch, inFlight, recompute))
      .reduce((sum, next) => {
        const [stash, workspace] = [Math.max(sum.stash, next.stash), Math.max(sum.workspace, next.workspace)];
        const [parameters, gradients] = [sum.parameters + next.parameters, sum.gradients + next.gradients];
        const [optimizer, anchor] = [sum.optimizer + next.optimizer, sum.anchor + next.anchor];
        const total = parameters + gradients + optimizer + anchor + stash + workspace;
        return { parameters, gradients, optimizer, anchor, stash, workspace, total };
      });
  }

  /** Parameters of a device that holds all of these stages: what they share once. */
  parametersOf(stages: readonly StageDraft[]): number {
    if (stages.length === 1) return this.costs.parameters(stages[0]!.start, stages[0]!.end);
    const blocks = stages.flatMap(({ start, end }) => this.costs.profile.blocks.slice(start, end));
    const tied = new Map(blocks.flatMap((block) => block.tied.map(({ name, parameters }) => [name, parameters] as const)));
    return blocks.reduce((sum, { parameters }) => sum + parameters, 0) + [...tied.values()].reduce((sum, parameters) => sum + parameters, 0);
  }

  /** Whether a stage of the only group can do without the server. */
  stepsForItself(devices: readonly number[], start: number, end: number): boolean {
    return this.request.alwaysExchanges !== true && this.costs.mayStep(start, end) && (this.request.optimizer !== 'server' || devices.length === 1);
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

  /** The same of devices that no cost tells apart: speed, memory and what takes it, link to the server, LAN. Devices with links of their own are like no other. */
  likeness(device: number): string {
    const known = this.likenesses[device];
    if (known !== undefined) return known;
    const { id, upBitsPerSecond, downBitsPerSecond, roundTripMs } = this.cluster.devices[device]!;
    const own = this.links.hasPeers(device) ? id : '';
    return (this.likenesses[device] = [this.kinds[device], upBitsPerSecond, downBitsPerSecond, roundTripMs, this.links.lan(device), own].join(' '));
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
      const { forwardMs, backwardMs } = this.costs.passMs(device, start, end, microbatch, recompute);
      // A stage without arithmetic must not be infinitely fast.
      const ms = Math.max(1e-9, forwardMs + backwardMs);
      rate += 1 / ms;
      latencyMs = Math.max(latencyMs, ms);
    }
    return { periodMs: devices.length === 1 ? latencyMs : 1 / rate, latencyMs, ...this.sumCost(devices, values) };
  }

  /** Where the server steps, it adds up what each replica sends; else these add up first, the one with the fastest uplink brings home what all have, and all fetch. */
  private sumCost(devices: readonly number[], values: number): Pick<StageCost, 'syncMs' | 'exchangeMs'> {
    if (this.request.optimizer === 'server') return { syncMs: 0, exchangeMs: Math.max(...devices.map((device) => this.exchangeMs(device, values))) };
    const bringMs = this.bringMs(this.bringerOf(devices), values);
    const fetchMs = Math.max(...devices.map((device) => this.fetchMs(device, values)));
    const syncMs = devices.length === 1 ? 0 : sumMs(values, devices.length, this.links.worstAmong(devices));
    return { syncMs, exchangeMs: bringMs + fetchMs };
  }

  /** Gradients of `values` parameters up, and parameters down. */
  exchangeMs(device: number, values: number): number {
    return this.bringMs(device, values) + this.fetchMs(device, values);
  }

  bringerOf(devices: readonly number[]): number {
    return bringerOf(devices, (device) => this.cluster.devices[device]!.upBitsPerSecond);
  }

  /** Of an exchange, what goes up. */
  bringMs(device: number, values: number): number {
    const { upBitsPerSecond, roundTripMs } = this.cluster.devices[device]!;
    return roundTripMs + (1000 * values * this.request.upBitsPerValue) / upBitsPerSecond;
  }

  /** … and what comes down. */
  fetchMs(device: number, values: number): number {
    return (1000 * values * this.request.downBitsPerValue) / this.cluster.devices[device]!.downBitsPerSecond;
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

  /**
   * Of an inner step: two stages of a pipeline that step for themselves send each other, at the same time, their gradients of what both read,
   * and wait for them. Their replicas go side by side, as many as the smaller of the two has.
   */
  tieMs(way: HopWay, one: StageDraft, other: StageDraft): number {
    const values = this.ties.values(one, other);
    if (values === 0) return 0;
    const bits = 1000 * SUM_BITS * values * Math.min(one.devices.length, other.devices.length);
    return Math.max(way.forwardDelayMs + bits / way.forwardBitsPerSecond, way.backwardDelayMs + bits / way.backwardBitsPerSecond);
  }

  /** … of all of them: each holder more of what is shared is one more message for the others. */
  tiesMs(stages: readonly StageDraft[]): number {
    if (this.ties.none || stages.length === 1) return 0;
    let sum = 0;
    for (let s = 0; s < stages.length - 1; s++) {
      const stage = stages[s]!;
      let most = 0;
      for (let behind = s + 1; behind < stages.length; behind++) {
        const other = stages[behind]!;
        // One device that holds both has one copy.
        if (other.devices[0] === stage.devices[0] || this.ties.values(stage, other) === 0) continue;
        most = Math.max(most, this.tieMs(this.hopWay(stage.devices, other.devices), stage, other));
      }
      sum += most;
    }
    return sum;
  }

  /** What the first stage of a pipeline and the last send each other of what they share takes no less over a way that is no better than this. */
  leastTieMs({ bitsPerSecond, delayMs }: Omit<Way, 'direct'>): number {
    return this.leastTied === 0 ? 0 : delayMs + (1000 * SUM_BITS * this.leastTied) / bitsPerSecond;
  }

  /** … where the device is one of the two; and wherever they are. */
  leastTieMsOf(device: number): number {
    return this.leastTied === 0 ? 0 : this.leastTieMs(this.links.bestOf(device));
  }

  /** … to a stage that it reaches through the server. */
  leastRelayedTieMsOf(device: number): number {
    const { upBitsPerSecond, roundTripMs } = this.cluster.devices[device]!;
    return this.leastTieMs({ bitsPerSecond: upBitsPerSecond, delayMs: roundTripMs / 2 });
  }

  leastTieMsAnywhere(): number {
    return Math.min(...this.cluster.devices.map((_, device) => this.leastTieMsOf(device)));
  }

  /** Once a round: a stage's exchange with the server; Infinity: it cannot be without. */
  tailMs({ exchangeMs }: StageCost, devices: readonly number[], start: number, end: number, alone: boolean): number {
    if (!alone) return exchangeMs;
    return this.stepsForItself(devices, start, end) ? 0 : Infinity;
  }

  group(layout: GroupDraft, alone: boolean): GroupCost {
    const { microbatch, stages } = layout;
    const costs = this.stagesOf(layout);
    const chunks = chunksOf(stages);
    const tailMs = Math.max(
      ...stages.map(({ devices, start, end }, s) => {
        const exchangeMs = chunks === 1 ? costs[s]!.exchangeMs : this.exchangeMs(devices[0]!, this.parametersOf(heldWith(stages, s)));
        return this.tailMs({ ...costs[s]!, exchangeMs }, devices, start, end, alone);
      }),
    );
    const uploads = this.uploads(layout);
    const { periodMs, onceMs } = passesOf(costs, this.hopsOf(layout), chunks);
    const syncMs = Math.max(...costs.map((cost) => cost.syncMs));
    return groupCost({ microbatch, stages: stages.length, periodMs, onceMs: onceMs + this.tiesMs(stages), syncMs, tailMs, uploads });
  }

  /** Copies of the model that cross the server's link, as `GroupCost` counts them. */
  uploads({ stages }: GroupDraft): number {
    return stages.reduce((sum, { devices, start, end }) => sum + this.moreUploads(devices.length, start, end), 1);
  }

  stagesOf({ microbatch, stages }: GroupDraft): readonly StageCost[] {
    return stages.map(({ devices, start, end, recompute }) => this.stage(devices, start, end, microbatch, recompute));
  }

  hopsOf({ microbatch, stages }: GroupDraft): readonly HopCost[] {
    return stages.slice(1).map((stage, i) => this.hop(this.hopWay(stages[i]!.devices, stage.devices), stage.start, microbatch));
  }

  /** What replicas of a stage beyond the first send through a limited link of the server, in copies of the model. */
  moreUploads(devices: number, start: number, end: number): number {
    if (this.cluster.server === undefined || this.request.optimizer !== 'server') return 0;
    return ((devices - 1) * this.costs.parameters(start, end)) / this.costs.parameters(0, this.costs.blocks);
  }
}

/** Of a group's microbatches: the first through all stages and back, and each that follows. */
export interface Passes {
  readonly onceMs: number;
  readonly periodMs: number;
}

/** `chunks`: stages that each device holds. */
export function passesOf(costs: readonly StageCost[], hops: readonly HopCost[], chunks: number): Passes {
  const busiestMs = (each: readonly { readonly periodMs: number }[]) => busiest(each.map(({ periodMs }) => periodMs), costs.length / chunks);
  const periodMs = Math.max(busiestMs(costs), busiestMs(hops));
  const latencyMs = costs.reduce((sum, cost) => sum + cost.latencyMs, 0) + hops.reduce((sum, hop) => sum + hop.activationMs + hop.gradientMs, 0);
  // Devices that hold several stages in turn have all something to do that much sooner.
  return { periodMs, onceMs: periodMs + (latencyMs - periodMs) / chunks };
}

/** Stages of a group, as they weigh together. */
export interface WeighedStages {
  readonly stages: number;
  readonly periodMs: number;
  /** Of an inner step: of the first microbatch, and of what stages share. */
  readonly onceMs: number;
  /** Of an inner step: the longest sum among replicas of a stage. */
  readonly syncMs: number;
  readonly tailMs: number;
  readonly uploads: number;
}

/** The replicas of a single stage work side by side and fill nothing. */
export function groupCost({ microbatch, stages, periodMs, onceMs, syncMs, tailMs, uploads }: WeighedStages & { readonly microbatch: number }): GroupCost {
  const isOne = stages === 1;
  return { microbatch, periodMs, fillMs: (isOne ? 0 : onceMs - periodMs) + syncMs, tailMs, minSamples: isOne ? 0 : microbatch, uploads };
}
