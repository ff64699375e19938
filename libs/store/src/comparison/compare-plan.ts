import { addTimes, timeParts, type ExchangeTimes, type Plan, type PlannedDevice, type PlannedGroup, type PlannedStage, type StoredEvent } from '@longtail/core';
import type { Compared, DeviceComparison, ExchangeComparison, GroupComparison, PlanComparison } from './comparison.js';
import { deviationOf } from './deviation.js';
import { plannedRounds, type Contribution, type Round } from './planned-rounds.js';

/** The first rounds pay for connections, caches and shares that are not settled. */
const WARM_UP_ROUNDS = 5;

/** Predicted against measured, from a run's events alone; undefined: it has no plan, or no whole round was done under it. */
export function comparePlan(events: readonly StoredEvent[]): PlanComparison | undefined {
  const done = plannedRounds(events);
  if (done === undefined || done.rounds.length === 0) return undefined;
  const { plan, number, plans, memoryBytes } = done;
  const warmUp = Math.min(WARM_UP_ROUNDS, done.rounds.length >> 2);
  const rounds = done.rounds.slice(warmUp);
  const groups = plan.groups.flatMap((group, i) => compareGroup(group, i + 1, rounds, plan, memoryBytes) ?? []);
  if (groups.length === 0) return undefined;
  const roundMs = { planned: plan.roundMs, measured: median(rounds.map((round) => round.commit.roundMs / stepsOf(round, plan))) };
  const samples = median(rounds.map((round) => round.commit.samples / stepsOf(round, plan)));
  const devices = groups.flatMap(({ stages }) => stages.flat());
  const total = (of: (device: DeviceComparison) => Compared): Compared => ({
    planned: devices.reduce((sum, device) => sum + of(device).planned, 0),
    measured: devices.reduce((sum, device) => sum + of(device).measured, 0),
  });
  return {
    plan,
    number,
    plans,
    rounds: rounds.length,
    warmUp,
    roundMs,
    samplesPerSecond: { planned: plan.samplesPerSecond, measured: (1000 * samples) / roundMs.measured },
    bytesUp: total(({ bytesUp }) => bytesUp),
    bytesDown: total(({ bytesDown }) => bytesDown),
    groups,
    deviation: deviationOf(groups, roundMs),
  };
}

/** Undefined: it never was at work. */
function compareGroup(
  group: PlannedGroup,
  number: number,
  rounds: readonly Round[],
  plan: Plan,
  memoryBytes: ReadonlyMap<string, number>,
): GroupComparison | undefined {
  const nodes = new Set(group.stages.flatMap(({ devices }) => devices.map(({ device }) => device)));
  const entrances = new Set(group.stages[0]!.devices.map(({ device }) => device));
  const mine = rounds
    .map((round) => ({ round, steps: stepsOf(round, plan), parts: round.contributions.filter(({ node }) => nodes.has(node)) }))
    .filter(({ parts }) => parts.length > 0);
  if (mine.length === 0) return undefined;
  const measured = (of: (parts: readonly Contribution[]) => number) => median(mine.map(({ parts, steps }) => of(parts) / steps));
  const stepMs = (parts: readonly Contribution[]) => Math.max(...parts.map(({ elapsedMs }) => elapsedMs));
  const samplesOf = (parts: readonly Contribution[]) => sumSamples(parts.filter(({ node }) => entrances.has(node)));
  // Local steps are all of as many samples, a share of a batch is a step of its own.
  const steps = plan.stepsPerRound === 1 ? 1 : measured(samplesOf) / group.samples;
  return {
    number,
    kind: group.kind,
    steps: { planned: group.steps, measured: steps },
    samples: { planned: group.samples, measured: measured(samplesOf) / steps },
    stepMs: { planned: group.stepMs, measured: measured(stepMs) / steps },
    exchangeMs: { planned: group.exchangeMs, measured: measured((parts) => taskMs(parts) - stepMs(parts)) },
    bubble: { planned: group.bubble, measured: median(mine.map(({ parts }) => 1 - busiestMs(parts) / stepMs(parts))) },
    stages: firstStages(group).map(({ devices }) => devices.map(({ device }) => compareDevice(group, device, rounds, plan, memoryBytes))),
  };
}

/** Those that are the first ones of their devices: where these hold several in turn, each device is compared once. */
function firstStages({ stages }: PlannedGroup): readonly PlannedStage[] {
  return stages.filter(({ devices: [first] }, i) => stages.findIndex(({ devices }) => devices[0]!.device === first!.device) === i);
}

/** All that one device does in a group. */
function compareDevice(
  group: PlannedGroup,
  node: string,
  rounds: readonly Round[],
  plan: Plan,
  memoryBytes: ReadonlyMap<string, number>,
): DeviceComparison {
  const held = group.stages.filter(({ devices }) => devices.some(({ device }) => device === node));
  const parts = held.map(({ devices }) => devices.find(({ device }) => device === node)!);
  const [{ name, memory, samples }] = parts as [PlannedDevice];
  const planned = (of: (part: PlannedDevice) => number) => parts.reduce((sum, part) => sum + of(part), 0);
  const mine = rounds.flatMap((round) => {
    const part = round.contributions.find((candidate) => candidate.node === node);
    return part === undefined ? [] : [{ part, roundMs: round.commit.roundMs, steps: stepsOf(round, plan) }];
  });
  const measured = (of: (entry: (typeof mine)[number]) => number) => median(mine.map((entry) => of(entry) / entry.steps));
  // A replica may have none in a round.
  const passes = mine.filter(({ part }) => part.samples > 0);
  const passMs = planned(({ forwardMs, backwardMs }) => forwardMs + backwardMs);
  return {
    node,
    name,
    blocks: held.map(({ names }) => names),
    passMs: { planned: passMs, measured: median(passes.map(({ part }) => (part.computeMs * group.microbatch) / part.samples)) },
    computeMs: { planned: (passMs * samples * group.steps) / group.microbatch, measured: measured(({ part }) => part.computeMs) },
    utilisation: { planned: planned(({ utilisation }) => utilisation), measured: median(mine.map(({ part, roundMs }) => Math.min(1, part.computeMs / roundMs))) },
    memoryBytes: { planned: memory.total, measured: memoryBytes.get(node) ?? NaN },
    bytesUp: { planned: planned(({ bytesUpPerRound }) => bytesUpPerRound), measured: measured(({ part }) => part.bytesUp) },
    bytesDown: { planned: planned(({ bytesDownPerRound }) => bytesDownPerRound), measured: measured(({ part }) => part.bytesDown) },
    exchange: compareExchange(group, parts[0]!, plan, mine),
  };
}

function compareExchange(
  { kind, steps: count, stepMs, exchangeMs }: PlannedGroup,
  { bytesUpPerRound, bytesDownPerRound, upBitsPerSecond, downBitsPerSecond }: PlannedDevice,
  { roundMs }: Plan,
  mine: readonly { readonly part: Contribution; readonly steps: number }[],
): ExchangeComparison | undefined {
  const told = mine.flatMap(({ part: { exchange, computeMs }, steps }) => (exchange === undefined ? [] : [{ exchange, computeMs, steps }]));
  if (told.length === 0) return undefined;
  const measured = (of: (exchange: ExchangeTimes) => number) => median(told.map(({ exchange, steps }) => of(exchange) / steps));
  const transfer = (bytes: number, bitsPerSecond: number) => (kind === 'solo' ? (8000 * bytes) / bitsPerSecond : NaN);
  const computeMs = told.reduce((sum, one) => sum + one.computeMs, 0);
  return {
    receiveMs: { planned: transfer(bytesDownPerRound, downBitsPerSecond), measured: measured(({ receiveMs }) => receiveMs) },
    encodeMs: { planned: NaN, measured: measured(({ encodeMs }) => encodeMs) },
    sendMs: { planned: transfer(bytesUpPerRound, upBitsPerSecond), measured: measured(({ sendMs }) => sendMs) },
    waitMs: { planned: Math.max(0, roundMs - count * stepMs - exchangeMs), measured: measured(({ waitMs }) => waitMs) },
    sends: timeParts(computeMs, told.map(({ exchange }) => exchange).reduce(addTimes)).sends,
  };
}

/** A group alone takes many steps before it says so: what it did is brought down to a round of the plan. */
function stepsOf({ commit }: Round, { groups, samplesPerRound }: Plan): number {
  return groups.length > 1 ? 1 : commit.samples / samplesPerRound;
}

/** From task to delivery, of the whole group. */
function taskMs(parts: readonly Contribution[]): number {
  return Math.max(...parts.map(({ doneAtMs }) => doneAtMs)) - Math.min(...parts.map(({ sentAtMs }) => sentAtMs));
}

function sumSamples(parts: readonly Contribution[]): number {
  return parts.reduce((sum, { samples }) => sum + samples, 0);
}

function busiestMs(parts: readonly Contribution[]): number {
  return Math.max(...parts.map(({ computeMs }) => computeMs));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? NaN) + (sorted[sorted.length >> 1] ?? NaN)) / 2;
}
