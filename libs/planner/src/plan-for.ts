import type { LeftOut, MakespanOf, PassOrder, Plan, PlannedGroup, PlanRequest, StageSums, StageTiming } from '@longtail/core';
import { formatMilliseconds } from '@longtail/core';
import type { CostModel } from './cost-model.js';
import type { Passes, StageCost } from './group-cost.js';
import type { GroupDraft } from './group-draft.js';
import { passesOf } from './group-cost.js';
import { groupSteps, localRound, type GroupRound, type GroupSteps } from './local-steps.js';
import { estimateMakespan } from './makespan.js';
import { sharedMs, sumsOf } from './own-exchange.js';
import { plannedStage } from './planned-stage.js';
import type { GroupCost, Scenario } from './rounds.js';
import { roundMsOf, wholeShares } from './rounds.js';
import { busiest, chunksOf } from './turns.js';

export interface LaidOut {
  readonly groups: readonly GroupDraft[];
  readonly scenario: Scenario;
}

/** A part of an inner step that is worth a word. */
const NOTABLE = 0.01;

/** Corrections to shares after which they hardly move. */
const REFINEMENTS = 3;

/**
 * What a layout is expected to do: whole shares, then each pipeline's time by `makespanOf`, and shares again by that; or local
 * steps, as many as the rule gives each group.
 */
export function planFor(
  model: CostModel,
  laidOut: LaidOut,
  makespanOf: MakespanOf = estimateMakespan,
): Omit<Plan, 'leftOut' | 'method' | 'boundSamplesPerSecond' | 'gap'> {
  const { batch, stepsPerRound, local } = model.request;
  const groups = laidOut.groups.map((group) => timed(model, group));
  const { rounds, roundMs } = local === undefined ? sharedRound(model, groups, laidOut.scenario, makespanOf) : localRound(stepsOfTimed(model, groups, laidOut.scenario, makespanOf), local);
  const samplesPerRound = rounds.reduce((sum, { samples, steps }) => sum + samples * steps, 0);
  const steps = local === undefined ? stepsPerRound : Math.max(...rounds.map((round) => round.steps));
  const inPlan = { timed: new Map(groups.map((of) => [of.group, of])), scenario: laidOut.scenario, roundMs, samplesPerRound, makespanOf };
  const planned = rounds.map((round) => plannedGroup(model, round, inPlan)).sort((a, b) => b.share - a.share);
  const devices = planned.flatMap((group) => group.stages.flatMap((stage) => stage.devices));
  return {
    model: model.costs.profile.name,
    batch: local?.batch ?? batch,
    stepsPerRound: steps,
    samplesPerRound,
    groups: planned,
    roundMs,
    stepMs: roundMs / steps,
    samplesPerSecond: (1000 * samplesPerRound) / roundMs,
    bytesUpPerRound: devices.reduce((sum, device) => sum + device.bytesUpPerRound, 0),
    bytesDownPerRound: devices.reduce((sum, device) => sum + device.bytesDownPerRound, 0),
    notes: [...notesOn(model, planned), ...tieNote(model, rounds.map(({ group }) => group), roundMs / steps)],
  };
}

/** Groups that take their shares of a batch at each step. */
function sharedRound(model: CostModel, groups: readonly Timed[], scenario: Scenario, makespanOf: MakespanOf): ReturnType<typeof localRound> {
  const { batch, stepsPerRound: steps } = model.request;
  let costs = groups.map(({ group }) => model.group(group, scenario.alone));
  let shares = wholeShares(costs, batch, steps, scenario.sharedMs);
  let before: readonly number[] = [];
  for (let turn = 0; turn < REFINEMENTS && shares.some((share, i) => share !== before[i]); turn++) {
    costs = groups.map((group, i) => (shares[i] === before[i] ? costs[i]! : corrected(model, group, costs[i]!, shares[i]!, makespanOf)));
    before = shares;
    shares = wholeShares(costs, batch, steps, scenario.sharedMs);
  }
  const lastsMs = costs.map((cost, i) => (shares[i]! > 0 ? roundMsOf(cost, shares[i]!, steps, scenario.sharedMs) : 0));
  const rounds = groups.map(({ group }, i) => {
    const exchangeMs = Math.max(costs[i]!.tailMs, scenario.sharedMs);
    return { group, samples: shares[i]!, steps, stepMs: (lastsMs[i]! - exchangeMs) / steps, exchangeMs };
  });
  return { rounds: rounds.filter(({ samples }) => samples > 0), roundMs: Math.max(...lastsMs) };
}

/** What groups that step for themselves take over a step and an exchange. */
export function stepsOf(model: CostModel, { groups, scenario }: LaidOut, makespanOf: MakespanOf): readonly GroupSteps[] {
  return stepsOfTimed(model, groups.map((group) => timed(model, group)), scenario, makespanOf);
}

function stepsOfTimed(model: CostModel, groups: readonly Timed[], scenario: Scenario, makespanOf: MakespanOf): readonly GroupSteps[] {
  const { batch } = model.request.local!;
  return groups.map((of) => groupSteps(model, of.group, corrected(model, of, model.group(of.group, false), batch, makespanOf), scenario));
}

/** A group as a schedule knows it, whatever its share of a batch. */
export interface Timed {
  readonly group: GroupDraft;
  readonly timings: readonly StageTiming[];
  readonly passes: Passes;
  readonly order: PassOrder;
  /** Of what several workers hold, and how late its last replica comes; undefined: there is none. */
  readonly sums: readonly StageSums[] | undefined;
}

export function timed(model: CostModel, group: GroupDraft): Timed {
  const [costs, hops] = [model.stagesOf(group), model.hopsOf(group)];
  const paces = pacesOf(model, group, costs);
  return {
    group,
    timings: paces.map(({ periodMs, lateMs, fraction }, s) => ({
      forwardMs: fraction.forward * periodMs,
      backwardMs: fraction.backward * periodMs,
      inputGradientMs: fraction.input * periodMs,
      activationHopMs: hops[s] === undefined ? 0 : hops[s].activationMs + lateMs,
      gradientHopMs: hops[s] === undefined ? 0 : hops[s].gradientMs + paces[s + 1]!.lateBackMs,
    })),
    passes: passesOf(costs, hops, chunksOf(group.stages)),
    order: orderOf(model, group),
    sums: sumsOf(model, group)?.map((sum, s) => ({ ...sum, ownMs: sum.ownMs + paces[s]!.lateBackMs })),
  };
}

/** A stage's replicas side by side: together they are one faster device, whose outputs come as late as the slowest makes them. */
function pacesOf(model: CostModel, { microbatch, stages }: GroupDraft, costs: readonly StageCost[]) {
  return stages.map(({ devices, start, end, recompute }, s) => {
    const { periodMs, latencyMs } = costs[s]!;
    const { forwardMs, backwardMs } = model.costs.passMs(model.cluster.devices[devices[0]!]!, start, end, microbatch, recompute);
    const again = recompute ? model.costs.recomputeMs(model.cluster.devices[devices[0]!]!, start, end, microbatch) : 0;
    const wholeMs = Math.max(1e-9, forwardMs + backwardMs);
    const input = model.costs.inputGradientPart(model.cluster.devices[devices[0]!]!, start, end, microbatch);
    const fraction = { forward: forwardMs / wholeMs, backward: backwardMs / wholeMs, input: input === 0 ? 0 : (again + input * (backwardMs - again)) / wholeMs };
    const lateMs = latencyMs - periodMs;
    return { periodMs, fraction, lateMs: fraction.forward * lateMs, lateBackMs: lateMs * (s + 1 === stages.length ? 1 : fraction.backward) };
  });
}

/** The cost of a pipeline, stretched or shrunk to what the schedule makes of so many microbatches. A single stage has nothing to schedule. */
function corrected(model: CostModel, group: Timed, cost: GroupCost, samples: number, makespanOf: MakespanOf): GroupCost {
  if (group.timings.length === 1 || samples === 0) return cost;
  const { periodMs, onceMs } = group.passes;
  const microbatches = Math.ceil(samples / cost.microbatch);
  const { passesMs, sumsMs } = pipelineStep(model, group, microbatches, makespanOf);
  const factor = passesMs / (onceMs + (microbatches - 1) * periodMs);
  return { ...cost, periodMs: periodMs * factor, fillMs: (onceMs - periodMs) * factor + sumsMs };
}

interface PipelineStep {
  readonly passesMs: number;
  /** By which sums of what several workers hold make it longer. */
  readonly sumsMs: number;
  /** By stage: microbatches that there is room for, and those that the schedule holds. */
  readonly room: readonly number[];
  readonly stash: readonly number[];
}

/** An inner step of a pipeline. */
export function pipelineStep(model: CostModel, { group, timings, passes, order, sums }: Timed, microbatches: number, makespanOf: MakespanOf): PipelineStep {
  const room = roomFor(model, group, order, microbatches);
  const { makespanMs, sumsMs, stash } = makespanOf(timings, microbatches, room, { ...order, sums });
  // A schedule knows hops as delays; a link that is busier than any stage bounds the step all the same.
  return { passesMs: Math.max(makespanMs, microbatches * passes.periodMs), sumsMs, room, stash };
}

/** Interleaved where its devices hold several stages, and only there. */
function orderOf({ request: { schedule } }: CostModel, { stages }: GroupDraft): PassOrder {
  const chunks = chunksOf(stages);
  if (chunks > 1) return { schedule: 'interleaved', chunks };
  return { schedule: schedule === 'interleaved' ? 'capped-1f1b' : schedule, chunks };
}

/** The schedule holds so many, whatever there is room for. */
function holdsAll({ schedule }: PassOrder): boolean {
  return schedule === 'gpipe' || schedule === 'interleaved';
}

/** Microbatches that each stage's smallest device holds, each replica its part of them; never fewer than the schedule needs. */
function roomFor(model: CostModel, group: GroupDraft, order: PassOrder, microbatches: number): readonly number[] {
  const { stages, microbatch } = group;
  const fixed = holdsAll(order);
  return stages.map(({ devices, start, end, recompute }, index) => {
    if (fixed) return model.memory.inFlight(group, index) * devices.length;
    const kinds = model.kinds.among(devices).map(([device]) => model.cluster.devices[device!]!);
    const fits = (held: number) =>
      kinds.every(({ memoryBytes, stashFactor }) => model.costs.memoryBytes(start, end, microbatch, held, recompute, stashFactor) <= memoryBytes);
    let room = Math.min(microbatches, stages.length - index);
    for (let more = 2 ** Math.ceil(Math.log2(microbatches)); more >= 1; more /= 2)
      if (room + more <= microbatches && fits(room + more)) room += more;
    return room * devices.length;
  });
}

interface InPlan {
  readonly timed: ReadonlyMap<GroupDraft, Timed>;
  readonly scenario: Scenario;
  readonly roundMs: number;
  readonly samplesPerRound: number;
  readonly makespanOf: MakespanOf;
}

function plannedGroup(model: CostModel, { group, samples, steps, stepMs, exchangeMs }: GroupRound, inPlan: InPlan): PlannedGroup {
  const { scenario, roundMs, samplesPerRound, makespanOf } = inPlan;
  const share = (samples * steps) / samplesPerRound;
  const of = inPlan.timed.get(group)!;
  const { timings, order } = of;
  const microbatches = Math.max(1, Math.ceil(samples / group.microbatch));
  const work = timings.map(({ forwardMs, backwardMs }) => forwardMs + backwardMs);
  const busiestMs = busiest(work, group.stages.length / order.chunks) * (samples / group.microbatch);
  const { room, stash } = pipelineStep(model, of, microbatches, makespanOf);
  const stashes = (index: number) => (holdsAll(order) ? room[index]! : Math.min(room[index]!, Math.max(stash[index]!, group.stages.length - index)));
  return {
    kind: group.stages.length === 1 && group.stages[0]!.devices.length === 1 ? 'solo' : 'pipeline',
    schedule: order.schedule,
    stages: group.stages.map(({ devices }, index) =>
      plannedStage({
        model,
        group,
        index,
        timings,
        samples,
        steps,
        microbatches,
        stashCap: Math.ceil(stashes(index) / devices.length),
        alone: scenario.alone,
        roundMs,
        share,
      }),
    ),
    microbatch: group.microbatch,
    microbatches,
    samples,
    steps,
    share,
    stepMs,
    exchangeMs,
    bubble: Math.max(0, 1 - busiestMs / stepMs),
  };
}

function notesOn(model: CostModel, groups: readonly PlannedGroup[]): readonly string[] {
  const notes: string[] = [];
  const used = new Set(groups.flatMap((group) => group.stages.flatMap((stage) => stage.devices.map((device) => device.device))));
  const assumed = model.cluster.devices.filter((device) => device.linkAssumed && used.has(device.id));
  if (assumed.length > 0) notes.push(`the links of ${assumed.length} devices are assumed, not measured`);
  const schedules = new Set(groups.filter(({ kind }) => kind === 'pipeline').map(({ schedule }) => schedule));
  if (model.request.schedule === 'interleaved' && groups.some(({ stages, schedule }) => stages.length > 1 && schedule !== 'interleaved'))
    notes.push('several stages a device were weighed where interleaved was asked for: where they are not planned they are slower or do not fit');
  if (schedules.size > 0) notes.push(`pipelines run the schedule ${[...schedules].sort().join(' or ')}`);
  return notes;
}

/** Where devices step for themselves; where the server does, it adds up what stages share. */
function tieNote(model: CostModel, groups: readonly GroupDraft[], stepMs: number): readonly string[] {
  if (model.ties.none) return [];
  const [ms, { stages }] = groups
    .map((group) => [Math.max(...group.stages.map((stage) => sharedMs(model, stage, group.stages))), group] as const)
    .reduce((most, next) => (next[0] > most[0] ? next : most));
  if (ms < NOTABLE * stepMs) return [];
  const pairs = stages.flatMap((stage, s) => stages.slice(s + 1).map((other) => [stage, other] as const));
  const names = new Set(pairs.flatMap(([one, other]) => model.ties.names(one, other)));
  return [`stages that share ${[...names].join(', ')} send each other their gradients of it: ${formatMilliseconds(ms)} of each inner step on the slowest of their links`];
}

export type PlanBody = ReturnType<typeof planFor>;

/** Ids of the devices that have a part. */
export function devicesOf({ groups }: PlanBody): ReadonlySet<string> {
  return new Set(groups.flatMap((group) => group.stages.flatMap((stage) => stage.devices.map(({ device }) => device))));
}

export function samplesPerSecondOf({ batch, stepsPerRound }: PlanRequest, roundMs: number): number {
  return (1000 * batch * stepsPerRound) / roundMs;
}

export function complete(body: PlanBody, leftOut: readonly LeftOut[], method: Plan['method'], boundSamplesPerSecond: number): Plan {
  // The schedule may do better than the estimate that the bound was made with.
  const bound = Math.max(boundSamplesPerSecond, body.samplesPerSecond);
  return { ...body, leftOut, method, boundSamplesPerSecond: bound, gap: 1 - body.samplesPerSecond / bound };
}
