import type { Recompute } from './job.js';
import type { BlockRange } from './model.js';
import type { ScheduleName, StageTiming } from './schedule.js';
import type { LocalStepRule } from './sync.js';

/** One block of a model as a planner sees it. Activations, stash and FLOPs are those of one sample. */
export interface BlockProfile {
  readonly name: string;
  /** Values of the parameters that no other block reads. */
  readonly parameters: number;
  /** Parameters that other blocks read too: a stage holds each name once, stages that share one hold a copy each. */
  readonly tied: readonly { readonly name: string; readonly parameters: number }[];
  readonly forwardFlops: number;
  readonly backwardFlops: number;
  /** What leaves the block, as float32. */
  readonly outputBytes: number;
  /** Values of its last axis, which share a scale where activations travel in 8 bits. @default one row a sample */
  readonly outputRow?: number;
  /** What the forward pass keeps for the backward pass. */
  readonly stashBytes: number;
  /** May a pipeline be cut behind this block? */
  readonly cutAfter: boolean;
}

export interface ModelProfile {
  readonly name: string;
  /** What enters the first block, as float32 or int32. */
  readonly inputBytes: number;
  readonly blocks: readonly BlockProfile[];
}

/** How long each block took at one microbatch size, in the order of the profile's blocks. */
export interface BlockTimes {
  readonly microbatch: number;
  readonly forwardMs: readonly number[];
  readonly backwardMs: readonly number[];
  /** Of `backwardMs`, the half that the gradient of the block's input takes. @default half of it */
  readonly inputGradientMs?: readonly number[];
  /** What both passes take longer where the activations are computed again. @default `forwardMs` */
  readonly recomputeMs?: readonly number[];
  /** Of each of these, what a stage of several blocks pays once. @default 0 */
  readonly forwardCallMs?: number;
  readonly backwardCallMs?: number;
}

export interface DeviceProfile {
  readonly id: string;
  readonly name: string;
  /** Effective, not peak; where blocks were measured, only a fallback. */
  readonly flopsPerSecond: number;
  readonly blockTimes?: readonly BlockTimes[];
  /** For how long it stands still between two passes of a stage; a whole model is one call. @default 0 */
  readonly handOverMs?: number;
  /** That call's, whatever its size, where blocks were not measured, whose times have it. @default 0 */
  readonly callMs?: number;
  /** What its owner offers. */
  readonly memoryBytes: number;
  /** To and from the server. */
  readonly upBitsPerSecond: number;
  readonly downBitsPerSecond: number;
  readonly roundTripMs: number;
  /** Nobody measured its link: what stands here is assumed. */
  readonly linkAssumed?: boolean;
  /** What its engine keeps of a microbatch for the backward pass, of the profile's `stashBytes`. @default 1 */
  readonly stashFactor?: number;
}

/** A node's link to the server, as tensors found it. */
export interface MeasuredLink {
  readonly upBitsPerSecond: number;
  readonly downBitsPerSecond: number;
  readonly roundTripMs: number;
}

/** Of a node whose link nobody could measure. */
export const ASSUMED_LINK: MeasuredLink = { upBitsPerSecond: 1e9, downBitsPerSecond: 1e9, roundTripMs: 1 };

/** Devices that reach each other directly, each over a port of this rate. */
export interface Lan {
  readonly name: string;
  /** Ids. */
  readonly devices: readonly string[];
  readonly bitsPerSecond: number;
  readonly roundTripMs: number;
}

/** A measured direct link between two devices; the slower of its two directions. */
export interface MeasuredPeerLink {
  readonly between: readonly [string, string];
  readonly bitsPerSecond: number;
  /** The smallest of several, without pauses between them. */
  readonly roundTripMs: number;
  /** What a small message takes one way, after a pause. */
  readonly messageMs: number;
}

export interface MeasuredCluster {
  readonly devices: readonly DeviceProfile[];
  readonly lans: readonly Lan[];
  readonly peers: readonly MeasuredPeerLink[];
  /** The server's own link, shared by all groups; undefined: never the bottleneck. */
  readonly server?: { readonly upBitsPerSecond: number; readonly downBitsPerSecond: number };
}

/** Groups that step for themselves, each on a batch of its own. */
export interface OwnSteps {
  /** Samples of a step of each group. */
  readonly batch: number;
  /** How many of them each takes a round. */
  readonly rule: LocalStepRule;
  /** Of all groups in the whole run; undefined: nobody knows. */
  readonly inAll?: number | undefined;
  /** Groups step on while they exchange. */
  readonly overlaps: boolean;
}

export interface PlanRequest {
  /** Samples an inner step, over all groups together. */
  readonly batch: number;
  /** Inner steps a round; 1: every gradient is exchanged. */
  readonly stepsPerRound: number;
  /** With it `createPlan` finds the `batch` and `stepsPerRound` at which the group that takes most steps has a batch of its own in each. */
  readonly local?: OwnSteps;
  /** Sizes to choose from, the same for all stages of a group. */
  readonly microbatches: readonly number[];
  /** Optimizer state a parameter: 8 for Adam in float32, 2.03 in 8 bits, 0 for plain SGD. */
  readonly stateBytesPerParameter: number;
  /** Vectors that a device holds of its parameters, and of their gradients. @default 1 */
  readonly parameterVectors?: number;
  readonly gradientVectors?: number;
  /**
   * Who steps: each device, with the optimizer's state of its blocks; or the server, unless one device that holds the whole
   * model is alone (ADR 3). @default 'devices'
   */
  readonly optimizer?: 'devices' | 'server';
  /** Whether a group that is alone exchanges too, as under an outer optimizer. @default false */
  readonly alwaysExchanges?: boolean;
  /** A value on its way to the server, and back. */
  readonly upBitsPerValue: number;
  readonly downBitsPerValue: number;
  /** A value of an activation, or of its gradient, between stages; at 8 bits each row has a scale of 32 besides. */
  readonly activationBits: number;
  /** Keep only a stage's input and compute the rest again in the backward pass. */
  readonly recompute: Recompute;
  readonly schedule: ScheduleName;
  /** The strategy is one of workers that hold the whole model: nobody is a stage. @default false */
  readonly wholeModels?: boolean;
  /** What the engine takes on every device before the model comes. */
  readonly workspaceBytes: number;
}

export interface PlannedMemory {
  readonly parameters: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** Parameters at the start of the round, which the delta is taken from; 0 where gradients are exchanged. */
  readonly anchor: number;
  readonly stash: number;
  readonly workspace: number;
  readonly total: number;
}

/** A device's part in a stage. Where it holds several stages of a pipeline, times, utilisation and bytes add up; its memory is that of all of them. */
export interface PlannedDevice {
  readonly device: string;
  readonly name: string;
  readonly memory: PlannedMemory;
  readonly offeredBytes: number;
  /** Samples of an inner step that pass through it: less than its group's where its stage has replicas. */
  readonly samples: number;
  /** Of one microbatch through this stage, hand-overs aside. */
  readonly forwardMs: number;
  readonly backwardMs: number;
  /** Fraction of the round it computes. */
  readonly utilisation: number;
  readonly bytesUpPerRound: number;
  readonly bytesDownPerRound: number;
  /** As the planner took it; what later measurements are compared with. */
  readonly flopsPerSecond: number;
  readonly upBitsPerSecond: number;
  readonly downBitsPerSecond: number;
}

export interface PlannedStage {
  readonly blocks: BlockRange;
  /** Names of the first and the last block. */
  readonly names: readonly [string, string];
  /** More than one: data parallel inside the pipeline. One that stands in several stages holds them all, in turn with the others (interleaved). */
  readonly devices: readonly PlannedDevice[];
  readonly recompute: boolean;
  /** Stashes that a device of it holds at most, of all its stages. */
  readonly stashCap: number;
  readonly timing: StageTiming;
  /** Why it runs there. */
  readonly reason: string;
}

export interface PlannedGroup {
  readonly kind: 'solo' | 'pipeline';
  /** The order of its passes. */
  readonly schedule: ScheduleName;
  readonly stages: readonly PlannedStage[];
  readonly microbatch: number;
  /** Microbatches an inner step. */
  readonly microbatches: number;
  /** Samples an inner step. */
  readonly samples: number;
  /** Inner steps a round, of overlapped exchanges on average. */
  readonly steps: number;
  /** Its part of a round's samples. */
  readonly share: number;
  /** Of an inner step; with the group's own gradient sums, without the exchange with the server. */
  readonly stepMs: number;
  readonly exchangeMs: number;
  /** Fraction of its inner step in which the busiest stage does nothing. */
  readonly bubble: number;
}

export interface LeftOut {
  readonly device: string;
  readonly name: string;
  /** In figures. */
  readonly reason: string;
}

/** How a job is laid over devices, and what that is expected to cost. */
export interface Plan {
  readonly model: string;
  /** Samples an inner step, of all groups together; with local steps of each. */
  readonly batch: number;
  /** Inner steps a round: of the group that takes most. */
  readonly stepsPerRound: number;
  /** Of all groups together. */
  readonly samplesPerRound: number;
  readonly groups: readonly PlannedGroup[];
  readonly leftOut: readonly LeftOut[];
  /** Of the slowest group, exchange included. */
  readonly roundMs: number;
  /** A round's time a step. */
  readonly stepMs: number;
  readonly samplesPerSecond: number;
  readonly bytesUpPerRound: number;
  readonly bytesDownPerRound: number;
  /** `exact`: no layout is better in this cost model. `heuristic`: see the gap. `given`: the layout was not searched for. */
  readonly method: 'exact' | 'heuristic' | 'given';
  /** No layout of these devices can be faster than this. */
  readonly boundSamplesPerSecond: number;
  /** 1 − samplesPerSecond / bound. */
  readonly gap: number;
  /** What was assumed, and what to know before relying on it. */
  readonly notes: readonly string[];
}

/** What a device's rate strays from its plan by at most, as a fraction, is noise: beyond it another layout is weighed. */
export const RATE_DRIFT = 0.2;

/** A device whose rate has fallen by this fraction of what a move was made for need not wait until that has settled. */
export const RATE_SLUMP = 0.5;

/** Of one microbatch through all that a device holds, forward and backward, in milliseconds; by device. */
export function passMsOf({ groups }: Plan): ReadonlyMap<string, number> {
  const passMs = new Map<string, number>();
  for (const { device, forwardMs, backwardMs } of groups.flatMap(({ stages }) => stages.flatMap(({ devices }) => devices)))
    passMs.set(device, (passMs.get(device) ?? 0) + forwardMs + backwardMs);
  return passMs;
}

/** What a schedule makes of a pipeline's stages. */
export interface Makespan {
  /** Of an inner step's passes. */
  readonly makespanMs: number;
  /** By which sums make it longer, from its beginning to that of the next; 0: there are none. */
  readonly sumsMs: number;
  /** Most stashes that each worker holds at once, in the order of their first stages. */
  readonly stash: readonly number[];
}

/** What the devices of a stage wait for between their last pass of an inner step and the first of the next, in milliseconds. */
export interface StageSums {
  /** Until its replicas have the sum of what they alone hold. */
  readonly ownMs: number;
  /** … and then of what it shares with other stages, from when all of these have come as far; 0: it shares nothing. */
  readonly sharedMs: number;
}

/** The order of a pipeline's passes, each worker holding `chunks` stages. */
export interface PassOrder {
  readonly schedule: ScheduleName;
  readonly chunks: number;
  /** Of each stage. @default none: the next step is another matter */
  readonly sums?: readonly StageSums[];
}

/** `maxStash`: stashes that each stage has room for. */
export type MakespanOf = (stages: readonly StageTiming[], microbatches: number, maxStash: readonly number[], order: PassOrder) => Makespan;
