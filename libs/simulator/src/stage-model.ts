import type { Batch, BatchStats, Dataset, Split, Stage } from '@longtail/core';
import type { VirtualModel } from './model.js';

/**
 * A whole model on a real engine, as all virtual devices compute with it: time stands still meanwhile, so that one stage
 * serves them in turn. A run starts from the parameters that the stage has now, whatever its seed.
 */
export async function modelOfStage(stage: Stage, data: Dataset): Promise<VirtualModel> {
  const { layout } = stage;
  const fresh = new Float32Array(layout.length);
  await stage.readParameters(fresh);
  const sum = new Float32Array(layout.length);
  let line: Promise<unknown> = Promise.resolve();
  const inTurn = (parameters: Float32Array, work: () => Promise<BatchStats>): Promise<BatchStats> => {
    const turn = line.then(() => stage.writeParameters(parameters)).then(work);
    line = turn.catch(() => undefined);
    return turn;
  };
  const batchOf = (split: Split, start: number, end: number): Batch => data.batch(split, Int32Array.from({ length: end - start }, (_, i) => start + i));
  return {
    layout,
    trainSamples: data.length('train'),
    validationSamples: data.length('validation'),
    initial: () => fresh.slice(),
    gradient: (parameters, samples, out) =>
      inTurn(parameters, async () => {
        const stats = await stage.gradient(data.batch('train', samples));
        await stage.takeGradient(sum);
        for (let i = 0; i < sum.length; i++) out[i] = out[i]! + sum[i]!;
        return stats;
      }),
    evaluate: (parameters, split, start, end) => inTurn(parameters, () => stage.evaluate(batchOf(split, start, end))),
  };
}
