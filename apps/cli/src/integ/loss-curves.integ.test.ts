import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Fleet } from './fleet.js';

const STEPS = 50;
/** Measured: 1.3e-7. Rounding grows with the steps. */
const TOLERANCE = 1e-5;

/** Of which each run reads the same samples; whole books would be read by each process of each run. */
const TEXT = 'The quick brown fox jumps over the lazy dog. '.repeat(400);

/** With an embedding that the head shares: both ends of a pipeline hold it. */
const job = (cluster: string, sync: string) => `
data: { type: text, path: text.txt, tokenizer: byte, sequence: 16 }
model: { type: gpt, width: 32, layers: 2, heads: 2 }
train:
  batch: 16
  maxSamples: ${STEPS * 16}
  optimizer: { type: adamw }
  learningRate: 0.003
  clipNorm: 1
  seed: 3
validation: { maxSamples: 16 }
sync: ${sync}
cluster: ${cluster}
`;

let fleet: Fleet;
beforeAll(async () => {
  fleet = await Fleet.stand([1, 0.7, 0.5]);
  await writeFile(join(fleet.folder, 'text.txt'), TEXT);
});
afterAll(() => fleet?.down());

/** The loss of each commit. */
async function losses(cluster: string, sync = 'bsp'): Promise<readonly number[]> {
  const { events } = await fleet.launch(job(cluster, sync));
  return events.flatMap((event) => (event.event === 'commit' ? [event.loss] : []));
}

const stages = ['worker-1, blocks: 2', 'worker-2, blocks: 1', 'worker-3, blocks: 1'].map((stage) => `{ worker: ${stage} }`);
const PIPELINE = `{ minWorkers: 3, microbatch: 3, layout: [[${stages.join(', ')}]] }`;

function expectSameCurve(pipelined: readonly number[], unpipelined: readonly number[], commits: number): void {
  expect(unpipelined).toHaveLength(commits);
  expect(pipelined).toHaveLength(commits);
  expect(pipelined.at(-1)!).toBeLessThan(0.8 * pipelined[0]!);
  pipelined.forEach((loss, i) => expect(Math.abs(loss / unpipelined[i]! - 1), `commit ${i + 1}`).toBeLessThan(TOLERANCE));
}

it('a pipeline learns as workers do that each hold the whole model: the same loss over 50 steps', { timeout: 240_000 }, async () => {
  expectSameCurve(await losses(PIPELINE), await losses('{ minWorkers: 3 }'), STEPS);
});

it('a pipeline takes the local steps of a worker that holds the whole model, clipped as its are', { timeout: 240_000 }, async () => {
  const sync = '{ strategy: diloco, localSteps: 10, minDeadline: 60s }';
  expectSameCurve(await losses(PIPELINE, sync), await losses('{ layout: [[{ worker: worker-1 }]] }', sync), STEPS / 10);
});
