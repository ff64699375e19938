import type { PlannedDevice, PlannedStage, StageTiming } from '@longtail/core';
import { formatBytes, formatCount, formatMilliseconds } from '@longtail/core';
import type { CostModel } from './cost-model.js';
import type { GroupDraft } from './group-draft.js';
import { SUM_BITS, sentInSum } from './gradient-sums.js';
import { broughtBy } from './own-exchange.js';
import { busiest, chunksOf, heldWith } from './turns.js';

interface StageInPlan {
  readonly model: CostModel;
  readonly group: GroupDraft;
  readonly index: number;
  readonly timings: readonly StageTiming[];
  /** Of the group, an inner step, and how many of them a round. */
  readonly samples: number;
  readonly steps: number;
  readonly microbatches: number;
  readonly stashCap: number;
  readonly alone: boolean;
  readonly roundMs: number;
  readonly share: number;
}

export function plannedStage(input: StageInPlan): PlannedStage {
  const { model, group, index, timings } = input;
  const { start, end, devices, recompute } = group.stages[index]!;
  const { blocks } = model.costs.profile;
  const { stashCap } = input;
  return {
    blocks: { start, end },
    names: [blocks[start]!.name, blocks[end - 1]!.name],
    devices: devices.map((device) => plannedDevice(input, device)),
    recompute,
    stashCap,
    timing: timings[index]!,
    reason: reasonFor(input),
  };
}

function plannedDevice(input: StageInPlan, index: number): PlannedDevice {
  const { model, group, roundMs, stashCap } = input;
  const { stages, microbatch } = group;
  const { start, end, devices, recompute } = stages[input.index]!;
  const device = model.cluster.devices[index]!;
  const { forwardMs, backwardMs } = model.costs.stageMs(device, start, end, group.microbatch, recompute);
  const taken = model.costs.passMs(device, start, end, group.microbatch, recompute);
  const { periodMs } = model.stage(devices, start, end, group.microbatch, recompute);
  const samples = (input.samples * periodMs) / Math.max(1e-9, taken.forwardMs + taken.backwardMs);
  const busyMs = (samples / group.microbatch) * (forwardMs + backwardMs) * input.steps;
  const { up, down } = trafficOf(input, index, samples);
  return {
    device: device.id,
    name: device.name,
    memory: model.memory.ofStages(index, heldWith(stages, input.index), microbatch, stashCap),
    offeredBytes: device.memoryBytes,
    samples,
    forwardMs,
    backwardMs,
    utilisation: Math.min(1, busyMs / roundMs),
    bytesUpPerRound: up,
    bytesDownPerRound: down,
    flopsPerSecond: device.flopsPerSecond,
    upBitsPerSecond: device.upBitsPerSecond,
    downBitsPerSecond: device.downBitsPerSecond,
  };
}

/**
 * Bytes a round: activations and their gradients, and the exchange of each replica; or, where not the server steps, the sums among replicas and
 * of what stages share, what the device brings home, and what all of them fetch.
 */
function trafficOf({ model, group, index, alone, steps }: StageInPlan, device: number, samples: number): { up: number; down: number } {
  const { request, costs } = model;
  const { stages } = group;
  const { start, end, devices } = stages[index]!;
  const values = ownParameters(model, group, index);
  const byServer = request.optimizer === 'server';
  const tied = model.ties.readBeside(stages[index]!, stages);
  const ownValues = values - tied.reduce((sum, table) => sum + table.values, 0);
  const sent = tied.reduce((sum, table) => sum + table.values * sentInSum(table.holders.length), ownValues * sentInSum(devices.length));
  const sums = byServer ? 0 : (SUM_BITS / 8) * sent * steps;
  const cutBytes = (at: number) => (at === 0 || at === costs.blocks ? 0 : costs.cutBits(at) / 8);
  const hops = (cutBytes(start) + cutBytes(end)) * samples * steps;
  const isFirst = heldWith(stages, index)[0] === stages[index];
  const brought = byServer ? values : isFirst ? broughtBy(model, stages).get(device)! : 0;
  return {
    up: sums + hops + (!alone ? (brought * request.upBitsPerValue) / 8 : 0),
    down: sums + hops + (!alone ? (values * request.downBitsPerValue) / 8 : 0),
  };
}

/** What a stage adds to what its devices have for earlier stages. */
function ownParameters(model: CostModel, { stages }: GroupDraft, index: number): number {
  const held = heldWith(stages, index);
  const before = held.slice(0, held.indexOf(stages[index]!));
  return model.parametersOf([...before, stages[index]!]) - model.parametersOf(before);
}

function reasonFor({ model, group, index, timings, samples, steps, microbatches, share, stashCap }: StageInPlan): string {
  const { stages } = group;
  const { start, end, devices, recompute } = stages[index]!;
  const offeredBy = (device: number) => model.cluster.devices[device]!.memoryBytes;
  const tightest = devices.reduce((least, device) => (offeredBy(device) < offeredBy(least) ? device : least));
  const offered = offeredBy(tightest);
  const held = heldWith(stages, index);
  const fits = `${formatBytes(model.memory.ofStages(tightest, held, group.microbatch, stashCap).total)} of ${formatBytes(offered)}`;
  const again = recompute ? ', computing activations again' : '';
  const { forwardMs, backwardMs } = timings[index]!;
  const chunks = chunksOf(stages);
  const work = timings.map((timing) => timing.forwardMs + timing.backwardMs);
  const pace = `${formatMilliseconds(forwardMs + backwardMs)} of the ${formatMilliseconds(busiest(work, stages.length / chunks))} between microbatches`;
  if (chunks > 1) {
    const turn = `stage ${held.indexOf(stages[index]!) + 1} of its ${chunks}`;
    return `${turn}, which take ${fits}${again}; ${formatCount(ownParameters(model, group, index))} parameters; ${pace}`;
  }
  if (stages.length === 1) {
    const together = devices.length > 1 ? `${devices.length} devices that reach each other hold` : 'holds';
    const part = model.request.local === undefined ? `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} % of the batch` : `${formatCount(steps)} steps of ${samples} samples a round`;
    return `${together} the whole model (${fits}${again}); ${part} by its speed`;
  }
  const [from, to] = end < model.costs.blocks ? [start, end + 1] : [start - 1, end];
  const extra = model.costs.profile.blocks[end < model.costs.blocks ? end : start - 1]!.name;
  const least = model.memory.ofStage(tightest, from, to, group.microbatch, Math.min(microbatches, model.memory.inFlight(group, index)), recompute).total;
  const limit =
    least > offered
      ? `${extra} too would need at least ${formatBytes(least)}`
      : `with ${extra} too it would take ${formatMilliseconds(model.stage(devices, from, to, group.microbatch, recompute).periodMs)}`;
  const crew = devices.length > 1 ? `${devices.length} replicas, ` : '';
  return `${crew}${formatCount(model.costs.parameters(start, end))} parameters, ${fits}${again}; ${pace}; ${limit}`;
}
