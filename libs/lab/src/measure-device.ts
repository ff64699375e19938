import { createRng } from '@longtail/core';
import type { OpenedJob, Workbench } from './workbench.js';

/** A device of this machine, at full pace: a batch takes it `overheadMs + samples · msPerSample`. */
export interface DeviceLine {
  readonly overheadMs: number;
  readonly msPerSample: number;
}

const WARM_UPS = 5;
const REPEATS = 25;

/** Trains on a batch and on an eighth of one in turn, on one thread, and lays a line through the least of each: whatever else runs here only adds. `nowMs`: a clock of the machine. */
export async function measureDevice(opened: OpenedJob, workbench: Workbench, nowMs: () => number): Promise<DeviceLine> {
  const model = await workbench.model(opened);
  const { batch, seed } = opened.job.train;
  const parameters = model.initial(seed);
  const gradient = new Float32Array(model.layout.length);
  const rng = createRng('measure');
  const take = async (samples: number) => {
    const indices = Int32Array.from({ length: samples }, () => rng.below(model.trainSamples));
    const beganMs = nowMs();
    await model.gradient(parameters, indices, gradient);
    return nowMs() - beganMs;
  };
  const [few, many] = [Math.max(1, batch >> 3), Math.max(2, batch)];
  let [fewMs, manyMs] = [Infinity, Infinity];
  for (let i = 0; i < WARM_UPS + REPEATS; i++) {
    const times = [await take(few), await take(many)] as const;
    if (i >= WARM_UPS) [fewMs, manyMs] = [Math.min(fewMs, times[0]), Math.min(manyMs, times[1])];
  }
  const msPerSample = Math.max((manyMs - fewMs) / (many - few), manyMs / many / 10);
  return { msPerSample, overheadMs: Math.max(0, manyMs - many * msPerSample) };
}
