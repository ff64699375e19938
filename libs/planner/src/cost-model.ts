import { bringerOf, type MeasuredCluster, type ModelProfile, type PlanRequest } from '@longtail/core';
import { DeviceKinds } from './device-kinds.js';
import { DeviceMemory } from './device-memory.js';
import { sumMs } from './gradient-sums.js';
import { groupCost, passesOf, type HopCost, type StageCost } from './group-cost.js';
import type { GroupDraft, StageDraft } from './group-draft.js';
import { Links, type HopWay } from './links.js';
import type { GroupCost } from './rounds.js';
import { StageCosts } from './stage-costs.js';
import { TieCosts } from './tie-costs.js';
import { Ties } from './ties.js';
import { chunksOf, heldWith } from './turns.js';

/** What any layout of a job over a cluster costs. */
export class CostModel {
  readonly costs: StageCosts;
  readonly links: Links;
  /** What stages have to tell each other at each inner step; where the server steps, nothing. */
  readonly ties: Ties;
  readonly tieCosts: TieCosts;
  readonly memory: DeviceMemory;
  readonly kinds: DeviceKinds;

  constructor(
    profile: ModelProfile,
    readonly cluster: MeasuredCluster,
    readonly request: PlanRequest,
  ) {
    this.costs = new StageCosts(profile, request);
    this.links = new Links(cluster);
    this.ties = new Ties(request.optimizer === 'server' ? [] : profile.blocks);
    this.tieCosts = new TieCosts(this.ties, this.links, cluster, this.costs);
    this.memory = new DeviceMemory(this.costs, cluster, request);
    this.kinds = new DeviceKinds(cluster, this.links);
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
    return groupCost({ microbatch, stages: stages.length, periodMs, onceMs: onceMs + this.tieCosts.ofStages(stages), syncMs, tailMs, uploads });
  }

  /** Copies of the model that cross the server's link, as `GroupCost` counts them. */
  uploads({ stages }: GroupDraft): number {
    return stages.reduce((sum, { devices, start, end }) => sum + this.moreUploads(devices.length, start, end), 1);
  }

  stagesOf({ microbatch, stages }: GroupDraft): readonly StageCost[] {
    return stages.map(({ devices, start, end, recompute }) => this.stage(devices, start, end, microbatch, recompute));
  }

  hopsOf({ microbatch, stages }: GroupDraft): readonly HopCost[] {
    return stages.slice(1).map((stage, i) => this.hop(this.links.between(stages[i]!.devices, stage.devices), stage.start, microbatch));
  }

  /** What replicas of a stage beyond the first send through a limited link of the server, in copies of the model. */
  moreUploads(devices: number, start: number, end: number): number {
    if (this.cluster.server === undefined || this.request.optimizer !== 'server') return 0;
    return ((devices - 1) * this.costs.parameters(start, end)) / this.costs.parameters(0, this.costs.blocks);
  }
}
