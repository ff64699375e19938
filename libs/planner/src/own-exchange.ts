import type { StageSums } from '@longtail/core';
import type { CostModel } from './cost-model.js';
import type { GroupDraft, StageDraft } from './group-draft.js';
import { sumMs } from './gradient-sums.js';
import { heldWith } from './turns.js';

/** Of devices that step for themselves: each stage's sums of what several hold (ADR 26); undefined where there are none. */
export function sumsOf(model: CostModel, { stages }: GroupDraft): readonly StageSums[] | undefined {
  if (model.request.optimizer === 'server' || (model.ties.none && stages.every(({ devices }) => devices.length === 1))) return undefined;
  const sums = stages.map((stage) => ({ ownMs: replicasMs(model, stage, stages), sharedMs: sharedMs(model, stage, stages) }));
  return sums.some(({ ownMs, sharedMs }) => ownMs + sharedMs > 0) ? sums : undefined;
}

/** Of an inner step, what a stage's replicas send each other of what they alone hold. */
function replicasMs({ costs, ties, links }: CostModel, stage: StageDraft, stages: readonly StageDraft[]): number {
  const { start, end, devices } = stage;
  if (devices.length === 1) return 0;
  const shared = ties.readBeside(stage, stages).reduce((sum, { values }) => sum + values, 0);
  return sumMs(costs.parameters(start, end) - shared, devices.length, links.worstAmong(devices));
}

/** … and what a stage sends devices of others of what it shares with them, and gets back. */
export function sharedMs({ ties, links }: CostModel, stage: StageDraft, stages: readonly StageDraft[]): number {
  return ties.readBeside(stage, stages).reduce((sum, { values, holders }) => sum + sumMs(values, holders.length, links.worstAmong(holders)), 0);
}

/** Values that each device brings home a round: of what several hold one brings all. */
export function broughtBy(model: CostModel, stages: readonly StageDraft[]): ReadonlyMap<number, number> {
  const { costs, ties } = model;
  const brought = new Map(stages.flatMap(({ devices }) => devices.map((device) => [device, 0])));
  const bring = (holders: readonly number[], values: number) => {
    const device = model.bringerOf(holders);
    brought.set(device, brought.get(device)! + values);
  };
  for (const stage of stages) bring(stage.devices, costs.parameters(stage.start, stage.end) - ties.values(stage, stage));
  for (const { holders, values } of ties.readBy(stages)) bring(holders, values);
  return brought;
}

/** What an exchange takes from a group's last pass on: whoever is last to bring, most of them while the stages before theirs are at their last passes, then whoever is last to fetch. */
export function ownExchangeMs(model: CostModel, group: GroupDraft): number {
  const { stages } = group;
  const brought = broughtBy(model, stages);
  const behind = behindMs(model, group);
  const [bringMs, fetchMs] = [[0], [0]];
  for (const [s, stage] of stages.entries()) {
    const held = heldWith(stages, s);
    const sums = replicasMs(model, stage, stages) + sharedMs(model, stage, stages);
    for (const device of held[0] === stage ? stage.devices : []) {
      bringMs.push(model.bringMs(device, brought.get(device)!) - (sums === 0 ? behind[s]! : 0));
      fetchMs.push(model.fetchMs(device, model.parametersOf(held)));
    }
  }
  return Math.max(...bringMs) + Math.max(...fetchMs);
}

/** For how long the stages before each are still at an inner step when it is done. */
function behindMs(model: CostModel, group: GroupDraft): readonly number[] {
  const { stages, microbatch } = group;
  const hops = model.hopsOf(group);
  let behind = 0;
  return stages.map(({ devices, start, end, recompute }, s) => {
    if (s > 0) behind += hops[s - 1]!.gradientMs;
    const spareMs = behind;
    behind += Math.max(...devices.map((device) => model.costs.passMs(model.cluster.devices[device]!, start, end, microbatch, recompute).backwardMs));
    return spareMs;
  });
}
