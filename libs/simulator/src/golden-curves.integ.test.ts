import type { DataSpec, Dataset, Engine, Job, ModelSpec } from '@longtail/core';
import { describeData, openDataset } from '@longtail/data';
import { loadEngine } from '@longtail/engine';
import { nodeFiles } from '@longtail/store';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { VirtualModel } from './model.js';
import { simulate } from './simulate.js';
import { modelOfStage } from './stage-model.js';
import { golden } from './testing/golden-curves.js';
import { eventsOf, job, unequalFleet } from './testing/scenarios.js';

/** Relative. An engine repeats itself; `tensorflow` gives the same losses to 5e-6. */
const TOLERANCE = 1e-4;
const BATCH = 16;
const STEPS = 48;
const VALIDATIONS = 3;

const adamw = { type: 'adam', beta1: 0.9, beta2: 0.99, epsilon: 1e-6, weightDecay: 0.01, decoupled: true } as const;
const topK = { density: 1 / 16, values: 'int2', selection: 'exact' } as const;
const strategies: Readonly<Record<keyof typeof golden.cnn, Partial<Job['sync']>>> = {
  bsp: { strategy: 'bsp' },
  ssp: { strategy: 'ssp', staleness: 1 },
  asp: { strategy: 'asp' },
  diloco: { strategy: 'diloco', localSteps: 4 },
  'sparse-diloco': { strategy: 'sparse-diloco', localSteps: 4, codec: 'top-k', topK },
  'streaming-diloco': { strategy: 'streaming-diloco', localSteps: 4, fragments: 2, mixing: 0 },
};
const names = Object.keys(strategies) as (keyof typeof strategies)[];

const problems: Readonly<Record<keyof typeof golden, { readonly data: DataSpec; readonly model: ModelSpec }>> = {
  cnn: {
    data: { type: 'mnist' },
    model: { type: 'cnn', input: [28, 28, 1], channels: [4, 8], kernel: 3, padding: 'same', pool: 'each', hidden: [16], outputs: 10 },
  },
  gpt: {
    data: { type: 'gutenberg', tokenizer: 'byte', sequence: 16, validationFraction: 0.05 },
    model: { type: 'gpt', vocabulary: 256, context: 16, width: 16, layers: 1, heads: 2, feedForward: 32 },
  },
};

let engine: Engine;
beforeAll(async () => {
  engine = await loadEngine('wasm');
});
afterAll(() => engine.dispose());

async function openPackaged(spec: DataSpec): Promise<Dataset> {
  const source = nodeFiles();
  return openDataset(spec, await describeData(spec, source, new AbortController().signal), { source });
}

/** Validation losses of a run on four unequal workers behind home links. */
async function curve(model: VirtualModel, sync: Partial<Job['sync']>): Promise<readonly number[]> {
  const samples = STEPS * BATCH;
  const recipe = { epochs: 1, maxSamples: samples, batch: BATCH, optimizer: adamw, learningRate: 0.005 };
  const validation = { everyEpochs: samples / VALIDATIONS / model.trainSamples, maxSamples: 64 };
  const { verdict, events } = await simulate({
    job: job({ train: recipe, validation, sync, cluster: { minWorkers: 4 } }),
    model,
    fleet: unequalFleet.map((worker) => ({ ...worker, link: { upBitsPerSecond: 1e7, downBitsPerSecond: 5e7, rttMs: 40 } })),
    seed: 1,
    chunkLength: 4096,
  });
  expect(verdict).toMatchObject({ status: 'succeeded', samples: { applied: samples, lost: 0 } });
  return eventsOf(events, 'validation').map(({ loss }) => loss);
}

describe.each(['cnn', 'gpt'] as const)('%s', (problem) => {
  let model: VirtualModel;
  beforeAll(async () => {
    const data = await openPackaged(problems[problem].data);
    model = await modelOfStage(await engine.build(problems[problem].model, 'all', { loss: 'cross-entropy', data: data.signature, seed: 1 }), data);
  });

  test.each(names)('%s learns as it always did', { timeout: 120_000 }, async (name) => {
    const losses = await curve(model, strategies[name]);
    expect(losses).toHaveLength(VALIDATIONS);
    losses.forEach((loss, i) => expect(Math.abs(loss / golden[problem][name][i]! - 1), `loss ${loss} of validation ${i + 1}`).toBeLessThan(TOLERANCE));
  });
});
