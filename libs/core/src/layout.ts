import type { BlockTiming, DeviceInfo } from './compute.js';
import type { LongtailError } from './errors.js';
import type { Job } from './job.js';
import type { BlockRange, ParameterLayout } from './model.js';
import type { MeasuredLink, MeasuredPeerLink, Plan } from './plan.js';
import type { ScheduleName, StageTiming } from './schedule.js';

/** A stage of a group, and who holds it. */
export interface StagePlace {
  readonly blocks: BlockRange | 'all';
  /** Several are replicas: each takes a share of the microbatches, by its speed. One that stands in several stages holds all of these. */
  readonly nodes: readonly string[];
  /** Keep the inputs of passes only, and run forward again at backward. @default false */
  readonly recompute?: boolean;
}

/** The workers that hold one replica of the model between them. */
export interface GroupLayout {
  /** In the order of the blocks, each block once; a single one of all blocks on one node: solo. */
  readonly stages: readonly StagePlace[];
  /** Samples a forward pass, and the order of passes: of no meaning for a solo worker. */
  readonly microbatch: number;
  readonly schedule: ScheduleName;
  /** One a stage, for schedules that look at them; undefined: from what the workers measured while they prepared. */
  readonly timings?: readonly StageTiming[];
  /** How fast the group should be, as shares of the first rounds go by it; undefined: as the workers measured while they prepared. */
  readonly expected?: ExpectedSpeed;
  /** Stashes that a worker of each stage has room for, which the schedule keeps to where it can. @default none */
  readonly maxStash?: readonly number[];
}

/** Of a group: a round of n samples takes `exchangeMs + n · msPerSample`. */
export interface ExpectedSpeed {
  /** Of the worker that computes longest. */
  readonly msPerSample: number;
  /** Whatever else: waits for other stages, gradients up, parameters down. */
  readonly exchangeMs: number;
}

/** The nodes of a group, each once, in the order of the first stage that each holds. */
export function nodesOf({ stages }: GroupLayout): readonly string[] {
  return [...new Set(stages.flatMap(({ nodes }) => nodes))];
}

/** How a job is laid over nodes. */
export interface RunLayout {
  readonly groups: readonly GroupLayout[];
  /** What is missing for the layout to be whole (`worker b`): the run begins without it only when it has begun before. */
  readonly lacks: string | undefined;
  /** No layout of the nodes that are here will do: what is missing, in figures, and the ways out. The run ends with it unless others come in time. */
  readonly shortfall?: LongtailError;
  /** For people: why so. */
  readonly reason: string;
  /** What is expected of these groups; devices are nodes. Undefined where nobody knows what the model takes. */
  readonly plan?: Plan;
  /** What it would be better laid out with: the layout is asked for again when that was measured, or could not be. */
  readonly wants?: WantedFigures;
  /** Moving was weighed against staying; undefined: there was no reason to. */
  readonly replan?: Replan;
}

/** The decision whether groups that stand move. */
export interface Replan {
  readonly moves: boolean;
  /** In figures. */
  readonly reason: string;
  /** What moving takes, or would take. */
  readonly movingBytes: number;
  readonly movingMs: number;
  /** Undefined: nothing moved yet. */
  readonly settles: Settling | undefined;
}

/** After a move. */
export interface Settling {
  /** Until then only the loss of a device is a reason to move, or a device that has become less than half as fast as the move was made for. */
  readonly untilMs: number;
  /** Such a device has moved it already, and is no more a reason. */
  readonly firmly: boolean;
}

/** What moving is weighed by: it costs time, and what is left of the run must pay for it. */
export interface StandingPlan {
  readonly plan: Plan;
  readonly settles: Settling | undefined;
  readonly nowMs: number;
  /** Of the run, at its present speed. */
  readonly remainingMs: number;
  /** Longest time that a worker took to build its stage. */
  readonly setupMs: number;
}

/** Blocks' times on nodes that have no place yet, and the links between them and to the server. */
export interface WantedFigures {
  readonly nodes: readonly string[];
  /** Samples a pass, each to be measured. */
  readonly microbatches: readonly number[];
}

export interface LayoutNode {
  readonly node: string;
  readonly name: string;
  readonly device: DeviceInfo;
  /** Undefined: not measured, or not yet. */
  readonly link?: MeasuredLink;
  /** Of its tensors together, by its owner's will; 0: as fast as the link is. @default 0 */
  readonly maxUploadBitsPerSecond?: number;
  /** Of the job's model; undefined: nobody wanted them. None where they could not be had. */
  readonly blocks?: readonly BlockTiming[];
  /** Measured with them. @default 0 */
  readonly handOverMs?: number;
  /** What a call for a whole model takes whatever its size, where that is described, as a bench does. @default 0 */
  readonly callMs?: number;
  /** How fast it was of late, as a multiple of what was measured of its blocks. @default 1 */
  readonly pace?: number;
}

export interface LayoutRequest {
  readonly job: Job;
  /** Nodes that the run may use, in the order in which they joined. */
  readonly nodes: readonly LayoutNode[];
  /** Direct links between nodes, as far as they were measured. */
  readonly peers: readonly MeasuredPeerLink[];
  /** Groups that stand, whose nodes are all here: those that the plan names again go on undisturbed. */
  readonly current: readonly GroupLayout[];
  /** The plan that they work by, once training has begun; undefined where they have none. */
  readonly standing?: StandingPlan;
  /** Training has begun: what is missing may be replaced, so that the run goes on. */
  readonly begun: boolean;
  /** Undefined until the first group was ready. */
  readonly model: { readonly layout: ParameterLayout; readonly blocks: number | undefined } | undefined;
}

/**
 * Lays a job over the nodes there are: asked whenever one came or went, or is not as fast as it was. Pure. Nodes in no group are spares. Throws a
 * LongtailError that ends the run when no layout ever will do.
 */
export type LayoutPlan = (request: LayoutRequest) => RunLayout;

/**
 * The same where it may take longer than the server can wait: then a promise, and nothing moves before it. `signal`: nobody wants the
 * layout any more, whatever it comes to.
 */
export type AskLayout = (request: LayoutRequest, signal: AbortSignal) => RunLayout | Promise<RunLayout>;
