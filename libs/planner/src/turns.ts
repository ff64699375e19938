import type { StageDraft } from './group-draft.js';

/** Stages that each device of a pipeline holds: several where they take them in turn, stage s on device s mod p (interleaved). */
export function chunksOf(stages: readonly StageDraft[]): number {
  const [first] = stages[0]!.devices;
  return stages.filter(({ devices }) => devices[0] === first).length;
}

/** The stages that the devices of one stage hold. */
export function heldWith<Stage extends StageDraft>(stages: readonly Stage[], index: number): readonly Stage[] {
  const workers = stages.length / chunksOf(stages);
  return stages.filter((_, stage) => stage % workers === index % workers);
}

/** The largest sum of what falls on one of so many workers, each having every `workers`-th value. */
export function busiest(values: readonly number[], workers: number): number {
  const sums = new Array<number>(workers).fill(0);
  for (const [i, value] of values.entries()) sums[i % workers]! += value;
  return Math.max(...sums);
}
