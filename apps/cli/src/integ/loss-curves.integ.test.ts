import { rm } from 'node:fs/promises';
import { afterEach, expect, it } from 'vitest';
import { type CliProcess, runCli } from './cli-process.js';
import { jobFolder } from './jobs.js';

const STEPS = 50;
/** Measured: 1.3e-5. Rounding grows with the steps. */
const TOLERANCE = 1e-4;

/** With an embedding that the head shares: both ends of a pipeline hold it. */
const job = (cluster: string, sync: string) => `
data: { type: gutenberg, tokenizer: byte, sequence: 16 }
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

const folders: string[] = [];
const started: CliProcess[] = [];
afterEach(async () => {
  started.forEach((process) => process.killAll());
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

/** The loss of each commit. */
async function losses(workers: number, cluster: string, sync = 'bsp'): Promise<readonly number[]> {
  const folder = await jobFolder(job(cluster, sync));
  folders.push(folder);
  const args = ['demo', '--job', 'job.yaml', '--workers', `${workers}`, '--paces', '1,0.7,0.5', '--engine', 'wasm', '--json'];
  const { exitCode, process } = await runCli(args, { cwd: folder });
  started.push(process);
  expect(exitCode, process.stderr).toBe(0);
  return process.events.flatMap((event) => (event.event === 'commit' ? [event.loss] : []));
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
  expectSameCurve(await losses(3, PIPELINE), await losses(3, '{ minWorkers: 3 }'), STEPS);
});

it('a pipeline takes the local steps of a worker that holds the whole model, clipped as its are', { timeout: 240_000 }, async () => {
  const sync = '{ strategy: diloco, localSteps: 10, minDeadline: 60s }';
  expectSameCurve(await losses(3, PIPELINE, sync), await losses(1, '{ minWorkers: 1 }', sync), STEPS / 10);
});
