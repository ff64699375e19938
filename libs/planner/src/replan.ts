import type { MakespanOf, MeasuredCluster, ModelProfile, Plan, PlannedGroup, PlanRequest, Settling, StageTiming } from '@longtail/core';
import { formatBytes, formatCount, formatSeconds, passMsOf, RATE_DRIFT, RATE_SLUMP } from '@longtail/core';
import { createPlan } from './create-plan.js';
import type { GroupDraft } from './group-draft.js';
import { CostModel } from './cost-model.js';
import { planFor, timed } from './plan-for.js';
import { scenarioOf } from './scenarios.js';

export interface ReplanInput {
  readonly current: Plan;
  readonly profile: ModelProfile;
  /** The devices that are there now, as measured now. */
  readonly cluster: MeasuredCluster;
  readonly request: PlanRequest;
  readonly nowMs: number;
  /** How long things are taken to stay as they are, or what is left of the run. */
  readonly horizonMs: number;
  /** `settles` of the last move; undefined: none yet. */
  readonly settles: Settling | undefined;
  /** What a device takes to build a stage, beside what it fetches. @default 0 */
  readonly setupMs?: number;
  readonly makespanOf?: MakespanOf;
}

export interface ReplanDecision {
  /** The plan to move to; undefined: keep the current one. */
  readonly plan: Plan | undefined;
  /** False: no device came or went, and every rate is as planned. */
  readonly changed: boolean;
  readonly reason: string;
  /** What moving takes, or would: parameters and optimizer state to devices that do not hold them yet. */
  readonly movingMs: number;
  readonly movingBytes: number;
  readonly settles: Settling | undefined;
}

/** What a move must win beyond its cost: an estimate is no better than that. */
const MARGIN = 0.05;

/**
 * Keep the layout or move? A device that left or joined, or a rate that drifted by more than 20 %, makes it plan again; it
 * moves only if the new layout, moving included, does 5 % more within the horizon, and then not again within that horizon
 * unless a group has lost a device, or, once, a device is less than half as fast as the move was made for: so it cannot swing to and fro. Throws LongtailError `no-plan` where nothing fits any more.
 */
export function considerReplan(input: ReplanInput): ReplanDecision {
  const model = new CostModel(input.profile, input.cluster, input.request);
  const { kept, whole, lost } = survivors(input.current, input.cluster);
  const drifted = drifts(model, input.current, whole);
  const news = [...lost.map((name) => `${name} left`), ...joined(input), ...drifted.map(({ news }) => news), ...linkDrifts(input), ...hopDrifts(model, kept, whole)];
  const keep = (reason: string, movingMs = 0, movingBytes = 0): ReplanDecision => ({
    plan: undefined,
    changed: news.length > 0,
    reason,
    movingMs,
    movingBytes,
    settles: input.settles,
  });
  if (news.length === 0) return keep(`every rate is within ${100 * RATE_DRIFT} % of the plan`);
  const why = news.slice(0, 3).join(', ') + (news.length > 3 ? ` and ${news.length - 3} more` : '');
  const restMs = (input.settles?.untilMs ?? -Infinity) - input.nowMs;
  const isSettled = lost.length === 0 && restMs > 0;
  if (isSettled && (input.settles!.firmly || drifted.every(({ change }) => change >= -RATE_SLUMP))) return keep(`${why}; but the last move settles for another ${formatSeconds(restMs / 1000)}`);
  const leastMs = standstillMs(input);
  if (whole.length > 0 && input.horizonMs <= leastMs) return keep(`${why}; but the run ends before a move would: that takes at least ${formatSeconds(leastMs / 1000)}`);

  const plan = createPlan(input.profile, input.cluster, input.request, { makespanOf: input.makespanOf });
  const { bytes, ms } = movingCost(input, plan);
  const move = (reason: string): ReplanDecision => ({
    plan,
    changed: true,
    reason: `${why}; ${reason}`,
    movingMs: ms,
    movingBytes: bytes,
    settles: { untilMs: Math.max(input.nowMs + input.horizonMs, isSettled ? input.settles!.untilMs : 0), firmly: isSettled },
  });
  if (whole.length === 0) return move(`no group is whole, so ${formatBytes(bytes)} move in ${formatSeconds(ms / 1000)}`);

  const staying = planFor(model, { groups: whole, scenario: scenarioOf(model, whole) }, input.makespanOf);
  if (plan.samplesPerSecond <= staying.samplesPerSecond * (1 + 1e-9)) return keep(`${why}; but no other layout is faster than its ${formatCount(staying.samplesPerSecond)} samples/s`);
  const stay = staying.samplesPerSecond * input.horizonMs;
  const go = plan.samplesPerSecond * Math.max(0, input.horizonMs - ms);
  const figures = `${formatCount(staying.samplesPerSecond)} → ${formatCount(plan.samplesPerSecond)} samples/s for ${formatBytes(bytes)} moved in ${formatSeconds(ms / 1000)}`;
  const within = `within ${formatSeconds(input.horizonMs / 1000)}`;
  return go > stay * (1 + MARGIN) ? move(`${figures} pays ${within}`) : keep(`${why}; but ${figures} does not pay ${within}`, ms, bytes);
}

interface Survivors {
  /** Groups whose devices are all still there. */
  readonly kept: readonly PlannedGroup[];
  /** The same, by index in the new cluster. */
  readonly whole: readonly GroupDraft[];
  /** Names of devices that are not there any more. */
  readonly lost: readonly string[];
}

function survivors(plan: Plan, cluster: MeasuredCluster): Survivors {
  const index = new Map(cluster.devices.map(({ id }, i) => [id, i]));
  const members = plan.groups.flatMap((group) => group.stages.flatMap((stage) => stage.devices));
  const lost = [...new Set(members.filter(({ device }) => !index.has(device)).map(({ name }) => name))];
  const kept = plan.groups.filter((group) => group.stages.every((stage) => stage.devices.every(({ device }) => index.has(device))));
  const whole = kept.map(({ microbatch, stages }) => ({
    microbatch,
    stages: stages.map(({ blocks, devices, recompute }) => ({
      ...blocks,
      recompute,
      devices: devices.map(({ device }) => index.get(device)!),
    })),
  }));
  return { kept, whole, lost };
}

function joined({ current, cluster }: ReplanInput): readonly string[] {
  const known = new Set(current.leftOut.map(({ device }) => device));
  for (const group of current.groups) for (const stage of group.stages) for (const { device } of stage.devices) known.add(device);
  return cluster.devices.filter(({ id }) => !known.has(id)).map(({ name }) => `${name} joined`);
}

/** What a device takes for its stage now, against what the plan took. */
function drifts(model: CostModel, plan: Plan, whole: readonly GroupDraft[]): readonly { readonly news: string; readonly change: number }[] {
  const planned = passMsOf(plan);
  return whole.flatMap(({ microbatch, stages }) =>
    [...new Set(stages.flatMap(({ devices }) => devices))].flatMap((index) => {
      const device = model.cluster.devices[index]!;
      const held = stages.filter(({ devices }) => devices.includes(index));
      const now = held.map(({ start, end, recompute }) => model.costs.stageMs(device, start, end, microbatch, recompute));
      const change = planned.get(device.id)! / now.reduce((sum, { forwardMs, backwardMs }) => sum + forwardMs + backwardMs, 0) - 1;
      return Math.abs(change) > RATE_DRIFT ? [{ news: `${device.name} is ${Math.round(100 * Math.abs(change))} % ${change > 0 ? 'faster' : 'slower'}`, change }] : [];
    }),
  );
}

/** What a device's link takes a round now, against what the plan took, in parts of the round. */
function linkDrifts({ current, cluster }: ReplanInput): readonly string[] {
  const now = new Map(cluster.devices.map((device) => [device.id, device]));
  const members = current.groups.flatMap((group) => group.stages.flatMap((stage) => stage.devices));
  return members.flatMap(({ device, name, bytesUpPerRound, bytesDownPerRound, ...planned }) => {
    const link = now.get(device);
    if (link === undefined) return [];
    const takesMs = (rates: Pick<typeof planned, 'upBitsPerSecond' | 'downBitsPerSecond'>) =>
      8000 * (bytesUpPerRound / rates.upBitsPerSecond + bytesDownPerRound / rates.downBitsPerSecond);
    const [before, after] = [takesMs(planned), takesMs(link)];
    if (Math.abs(after - before) <= RATE_DRIFT * current.roundMs) return [];
    return [`the link of ${name} takes ${formatSeconds(after / 1000)} a round, not ${formatSeconds(before / 1000)}`];
  });
}

/** What all that goes between two stages takes a step now, against what the plan took, in parts of the step. */
function hopDrifts(model: CostModel, kept: readonly PlannedGroup[], whole: readonly GroupDraft[]): readonly string[] {
  const takesMs = ({ microbatches }: PlannedGroup, { activationHopMs, gradientHopMs }: StageTiming): number => microbatches * (activationHopMs + gradientHopMs);
  return kept.flatMap((group, g) => {
    const { timings } = timed(model, whole[g]!);
    return group.stages.slice(1).flatMap(({ devices }, s) => {
      const lower = group.stages[s]!;
      const [before, after] = [takesMs(group, lower.timing), takesMs(group, timings[s]!)];
      if (Math.abs(after - before) <= RATE_DRIFT * group.stepMs) return [];
      const names = [lower.devices, devices].map((some) => some.map(({ name }) => name).join(' + ')).join(' and ');
      return [`what goes between ${names} takes ${formatSeconds(after / 1000)} a step, not ${formatSeconds(before / 1000)}`];
    });
  });
}

/** What a move takes beside what is fetched: the round that is under way, and to build stages. */
function standstillMs({ current, setupMs = 0 }: ReplanInput): number {
  return current.roundMs + setupMs;
}

/** Each device fetches what it does not hold, all at once, through the server; the fleet waits for the last. */
function movingCost(input: ReplanInput, plan: Plan): { bytes: number; ms: number } {
  const { current, profile, cluster, request } = input;
  const held = blocksByDevice(current);
  const devices = new Map(cluster.devices.map((device) => [device.id, device]));
  const tiedOf = (block: number) => profile.blocks[block]!.tied.reduce((sum, { parameters }) => sum + parameters, 0);
  const leastMs = standstillMs(input);
  let [bytes, ms] = [0, leastMs];
  for (const [id, blocks] of blocksByDevice(plan)) {
    const fetched = [...blocks].filter((block) => !held.get(id)?.has(block));
    const values = fetched.reduce((sum, block) => sum + profile.blocks[block]!.parameters + tiedOf(block), 0);
    const own = values * (4 + request.stateBytesPerParameter);
    bytes += own;
    ms = Math.max(ms, leastMs + (8000 * own) / devices.get(id)!.downBitsPerSecond);
  }
  return { bytes, ms };
}

function blocksByDevice(plan: Plan): ReadonlyMap<string, ReadonlySet<number>> {
  const blocks = new Map<string, Set<number>>();
  for (const group of plan.groups) {
    for (const stage of group.stages) {
      const range = Array.from({ length: stage.blocks.end - stage.blocks.start }, (_, i) => stage.blocks.start + i);
      for (const { device } of stage.devices) blocks.set(device, new Set([...(blocks.get(device) ?? []), ...range]));
    }
  }
  return blocks;
}
