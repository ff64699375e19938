import { createRng } from '@longtail/core';
import type { OpenedJob, Workbench } from './workbench.js';

/** A device of this machine, at full pace: a batch takes it `overheadMs + samples · msPerSample`. */
export interface DeviceLine {
  readonly overheadMs: number;
  readonly msPerSample: number;
}

const WARM_UPS = 3;
const REPEATS = 9;

/** Trains on a batch and on an eighth of one, on one thread, and lays a line through the medians. `nowMs`: a clock of the machine. */
export async function measureDevice(opened: OpenedJob, workbench: Workbench, nowMs: () => number): Promise<DeviceLine> {
  const model = await workbench.model(opened);
  const { batch, seed } = opened.job.train;
  const parameters = model.initial(seed);
  const gradient = new Float32Array(model.layout.length);
  const rng = createRng('measure');
  const take = async (samples: number) => {
    const times: number[] = [];
    for (let i = 0; i < WARM_UPS + REPEATS; i++) {
      const indices = Int32Array.from({ length: samples }, () => rng.below(model.trainSamples));
      const beganMs = nowMs();
      await model.gradient(parameters, indices, gradient);
      if (i >= WARM_UPS) times.push(nowMs() - beganMs);
    }
    return times.sort((a, b) => a - b)[REPEATS >> 1]!;
  };
  const [few, many] = [Math.max(1, batch >> 3), Math.max(2, batch)];
  const [fewMs, manyMs] = [await take(few), await take(many)];
  const msPerSample = Math.max((manyMs - fewMs) / (many - few), manyMs / many / 10);
  return { msPerSample, overheadMs: Math.max(0, manyMs - many * msPerSample) };
}
