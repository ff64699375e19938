import type { Batch, HostTensor } from '@longtail/core';
import type { StageModel } from './stage-model.js';

/** Activations that one pass may keep, in values: 64 MiB of float32, several times that with what operations stash. */
const ACTIVATION_BUDGET = 2 ** 24;

/** Largest batch that passes through a stage at once when nobody says otherwise. */
export function defaultMicrobatch(stage: StageModel): number {
  return Math.max(1, Math.floor(ACTIVATION_BUDGET / Math.max(1, stage.activationsPerSample)));
}

/** A batch in parts of at most `limit` samples, which share its memory. */
export function microbatches(batch: Batch, limit: number): readonly Batch[] {
  if (batch.samples <= limit) return [batch];
  const parts: Batch[] = [];
  for (let start = 0; start < batch.samples; start += limit) {
    const end = Math.min(start + limit, batch.samples);
    parts.push({ inputs: sampleRange(batch.inputs, start, end), targets: sampleRange(batch.targets, start, end), samples: end - start });
  }
  return parts;
}

function sampleRange(tensor: HostTensor, start: number, end: number): HostTensor {
  const [samples, ...shape] = tensor.shape;
  const perSample = tensor.data.length / samples;
  return { dtype: tensor.dtype, shape: [end - start, ...shape], data: tensor.data.subarray(start * perSample, end * perSample) };
}
