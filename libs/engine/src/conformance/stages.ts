import type { BatchStats, BlockRange, Engine, Stage } from '@longtail/core';
import type { ConformanceCase } from './cases.js';

export const SEED = 17;

/** What the whole model makes of a case's batch. */
export interface Oracle {
  readonly stats: BatchStats;
  readonly gradient: Float32Array;
  /** Of each sample. */
  readonly losses: Float32Array;
}

export function build(
  engine: Engine,
  { spec, loss, data }: Omit<ConformanceCase, 'batch'>,
  maxMicrobatch?: number,
  blocks: BlockRange | 'all' = 'all',
  recompute = false,
): Promise<Stage> {
  return engine.build(spec, blocks, { loss, data, seed: SEED, maxMicrobatch, recompute });
}

export async function wholeGradient(engine: Engine, testCase: ConformanceCase): Promise<Oracle> {
  const { batch } = testCase;
  const stage = await build(engine, testCase);
  const stats = await stage.gradient(batch);
  const { gradient } = await take(stage);
  const { output } = await stage.infer(batch.inputs, batch.targets);
  await stage.dispose();
  return { stats, gradient, losses: output.data as Float32Array };
}

export async function take(stage: Stage): Promise<{ gradient: Float32Array; samples: number }> {
  const gradient = new Float32Array(stage.layout.length);
  return { gradient, ...(await stage.takeGradient(gradient)) };
}
