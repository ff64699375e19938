import { rm } from 'node:fs/promises';
import { openSafetensors } from '@longtail/store';
import { afterEach, expect, it } from 'vitest';
import type { CliProcess } from './cli-process.js';
import { runCli } from './cli-process.js';
import { jobFolder, smallJob } from './jobs.js';

const folders: string[] = [];
const processes: CliProcess[] = [];
afterEach(async () => {
  processes.forEach((process) => process.killAll());
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

/** Whoever is slow on a busy machine is waited for: all are to contribute. */
const JOB = `${smallJob({ rounds: 8 })}sync: { minDeadline: 60s }\n`;

it('makes the same steps with four unequal workers as with one big one', { timeout: 120_000 }, async () => {
  const one = await train(['--workers', '1']);
  const four = await train(['--workers', '4', '--paces', '1,0.6,0.4,0.25']);
  expect(four.contributors).toBe(4);
  for (const [name, values] of one.tensors) {
    expect(relativeDistance(four.tensors.get(name)!, values), name).toBeLessThan(1e-5);
  }
});

it('makes the same steps with a pipeline beside a solo worker as with one that holds the whole model', { timeout: 240_000 }, async () => {
  const one = await train(['--workers', '1']);
  for (const schedule of ['gpipe', '1f1b', 'capped-1f1b', 'zero-bubble']) {
    const layout = '[[{ worker: worker-1, blocks: 1 }, { worker: worker-2, blocks: 1 }], [{ worker: worker-3 }]]';
    const job = `${JOB}cluster: { layout: ${layout}, schedule: ${schedule}, microbatch: 12 }\n`;
    const piped = await train(['--workers', '3', '--paces', '1,0.7,0.5'], job);
    expect(piped.contributors, schedule).toBe(3);
    for (const [name, values] of one.tensors) {
      expect(relativeDistance(piped.tensors.get(name)!, values), `${schedule}, ${name}`).toBeLessThan(1e-5);
    }
  }
});

it('makes the same steps with replicas of a stage as with one machine', { timeout: 120_000 }, async () => {
  const one = await train(['--workers', '1']);
  const layout = '[[{ worker: worker-1, blocks: 1 }, { workers: [worker-2, worker-3], blocks: 1 }]]';
  const piped = await train(['--workers', '3', '--paces', '1,0.7,0.4'], `${JOB}cluster: { layout: ${layout}, microbatch: 6 }\n`);
  expect(piped.contributors).toBe(3);
  for (const [name, values] of one.tensors) {
    expect(relativeDistance(piped.tensors.get(name)!, values), name).toBeLessThan(1e-5);
  }
});

it('makes the same steps with an interleaved pipeline as with one machine', { timeout: 120_000 }, async () => {
  const deep = JOB.replace('hidden: [32]', 'hidden: [32, 24, 16]');
  const one = await train(['--workers', '1'], deep);
  const layout = `[[${['worker-1', 'worker-2', 'worker-1', 'worker-2'].map((worker) => `{ worker: ${worker}, blocks: 1 }`).join(', ')}]]`;
  const piped = await train(['--workers', '2', '--paces', '1,0.6'], `${deep}cluster: { layout: ${layout}, schedule: interleaved, microbatch: 12 }\n`);
  expect(piped.contributors).toBe(2);
  for (const [name, values] of one.tensors) {
    expect(relativeDistance(piped.tensors.get(name)!, values), name).toBeLessThan(1e-5);
  }
});

async function train(
  cluster: readonly string[],
  job = JOB,
): Promise<{ tensors: ReadonlyMap<string, Float32Array>; contributors: number }> {
  const folder = await jobFolder(job);
  folders.push(folder);
  const { exitCode, process } = await runCli(['demo', '--job', 'job.yaml', '--engine', 'wasm', '--json', ...cluster], { cwd: folder });
  processes.push(process);
  expect(exitCode, process.stderr).toBe(0);
  const nodes = process.events.flatMap((event) =>
    event.event === 'contribution' && event.accepted && event.samples > 0 ? [event.node] : [],
  );
  return { tensors: await readTensors(process.verdict.model), contributors: new Set(nodes).size };
}

async function readTensors(path: string): Promise<ReadonlyMap<string, Float32Array>> {
  const file = await openSafetensors(path);
  try {
    const tensors = new Map<string, Float32Array>();
    for (const [name, { shape }] of file.tensors) {
      const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
      await file.readFloat32(name, values);
      tensors.set(name, values);
    }
    return tensors;
  } finally {
    await file.close();
  }
}

/** ‖a − b‖ / ‖b‖ */
function relativeDistance(a: Float32Array, b: Float32Array): number {
  const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return norm(a.map((value, i) => value - b[i]!)) / norm(b);
}
