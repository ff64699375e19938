import type { BlockRange, BlockTiming, Job } from '@longtail/core';
import { createModel, profileModel } from '@longtail/engine';
import { CostModel, measuredCluster, planRequestFor } from '@longtail/planner';
import { signatureOf } from './model-signature.js';

/** Of a pass over so many samples, in milliseconds of the device at full speed. */
export interface PassTimes {
  readonly forwardMs: number;
  readonly backwardMs: number;
}

/** Of any stage of a model. */
export type UndisturbedTimes = (blocks: BlockRange | 'all', samples: number, recompute: boolean) => PassTimes;

const NOWHERE = { upBitsPerSecond: 1, downBitsPerSecond: 1, roundTripMs: 0 };

/**
 * What passes take that nothing disturbs, by the model's profile as a planner reads it: workers of one host are profiled one
 * after the other, but they warm up all at once. Undefined where a block could not be measured, or only the data tells what
 * the model is like.
 */
export async function undisturbedTimes({ name, model, loss, ...job }: Job, pace: number, blocks: readonly BlockTiming[]): Promise<UndisturbedTimes | undefined> {
  const signature = signatureOf(model, loss);
  if (signature === undefined) return undefined;
  const profile = profileModel(name, await createModel(model, { ...signature, loss }));
  const node = { node: name, name, device: { engine: '', memoryBytes: 0, gflops: 0 }, blocks };
  const cluster = measuredCluster([node], { peers: [], assumedLink: NOWHERE, profile });
  const [device] = cluster.devices;
  if (device?.blockTimes === undefined) return undefined;
  const { costs } = new CostModel(profile, cluster, planRequestFor({ name, model, loss, ...job }));
  return (range, samples, recompute) => {
    const { start, end } = range === 'all' ? { start: 0, end: costs.blocks } : range;
    const { forwardMs, backwardMs } = costs.stageMs(device, start, end, samples, recompute);
    return { forwardMs: pace * forwardMs, backwardMs: pace * backwardMs };
  };
}
