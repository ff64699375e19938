import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as threads from 'node:worker_threads';
import type { HostTensor, Job } from '@longtail/core';
import { describeData } from '@longtail/data';
import { availableEngines } from '@longtail/engine';
import { nodeFiles } from '@longtail/store';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { ComputeThread } from './compute-thread.js';

/** What crossed between the threads, in order. */
const traffic: string[] = vi.hoisted(() => []);

/** The thread runs what `tsc --build` made, without the conditions that lead the tests to sources. */
vi.mock('node:worker_threads', async (importOriginal) => {
  const original = await importOriginal<typeof threads>();
  class BuiltWorker extends original.Worker {
    constructor(_script: URL, options: threads.WorkerOptions) {
      super(new URL('../../dist/compute/thread.js', import.meta.url), { ...options, execArgv: [] });
      this.on('message', () => traffic.push('answer'));
    }

    override postMessage(...message: Parameters<threads.Worker['postMessage']>): void {
      traffic.push(message[0].call);
      super.postMessage(...message);
    }
  }
  return { ...original, Worker: BuiltWorker };
});

const JOB = {
  name: 'test',
  model: { type: 'mlp', input: 6, hidden: [5, 4, 4], outputs: 3 },
  loss: 'cross-entropy',
  data: { type: 'mnist' },
  train: { batch: 16, optimizer: { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 }, seed: 3 },
  sync: { codec: 'fp32' },
  cluster: {},
} as unknown as Job;
const MIDDLE = { start: 1, end: 3 };
const USE = { microbatch: 8, inFlight: 2, recompute: false };
const forever = new AbortController().signal;
const NO_FILES = new Map<string, string>();

let thread: ComputeThread;
let cache: string;

beforeAll(async () => {
  cache = mkdtempSync(join(tmpdir(), 'longtail-compute-'));
  process.env.LONGTAIL_CACHE = cache;
  thread = await ComputeThread.open({ engine: 'cpu', pace: 1, memoryBytes: 2 ** 20, threads: 1, modules: 'refused' }, forever);
});
afterAll(async () => {
  await thread.close();
  delete process.env.LONGTAIL_CACHE;
  rmSync(cache, { recursive: true });
});

const activation = (width: number): HostTensor => ({ dtype: 'float32', shape: [8, width], data: Float32Array.from({ length: 8 * width }, (_, i) => Math.sin(i)) });

it('computes a stage between others without any data, and moves tensors instead of copying them', async () => {
  const prepared = await thread.prepare(JOB, NO_FILES, [MIDDLE], forever, USE);
  expect(prepared).toMatchObject({ blocks: 4, trainSamples: 0, state: [], engine: 'cpu' });
  expect(prepared.layouts[0]!.slots.map(({ name }) => name)).toEqual(['hidden1.weights', 'hidden1.bias', 'hidden2.weights', 'hidden2.bias']);
  await thread.initialParameters();
  const input = activation(5);
  const { output, stats } = await thread.forward(0, 0, [{ epoch: 0, start: 0, end: 8 }], input, forever);
  expect(input.data.length, 'it went to the thread').toBe(0);
  expect(output!.shape).toEqual([8, 4]);
  expect(stats).toBeUndefined();
  const { inputGradient } = await thread.backward('I', 0, 0, activation(4), forever);
  expect(inputGradient!.shape).toEqual([8, 5]);
  expect((await thread.backward('W', 0, 0, undefined, forever)).inputGradient).toBeUndefined();
  expect(await thread.takeGradient()).toEqual({ samples: 8 });
  expect(prepared.gradient.some((value) => value !== 0)).toBe(true);
  expect((await thread.evaluateStage(0, 'validation', 0, 8, activation(5), forever)).output!.shape).toEqual([8, 4]);
});

it('has passes under one signal one behind the other, and everything else alone', async () => {
  const ranges = [{ epoch: 0, start: 0, end: 8 }];
  const { signal } = new AbortController();
  traffic.length = 0;
  await Promise.all([
    thread.forward(0, 2, ranges, activation(5), signal),
    thread.backward('B', 0, 2, activation(4), signal),
    thread.forward(0, 3, ranges, activation(5), forever),
    thread.backward('B', 0, 3, activation(4), forever),
    thread.takeGradient(),
    thread.dropPasses(),
  ]);
  const [pair, alone] = [['answer', 'answer'], ['answer']];
  expect(traffic).toEqual(['forward', 'backward', ...pair, 'forward', 'backward', ...pair, 'takeGradient', ...alone, 'dropPasses', ...alone]);
});

it('answers each of them by itself when one fails', async () => {
  const { signal } = new AbortController();
  const unknown = thread.backward('B', 0, 9, activation(4), signal);
  const next = thread.forward(0, 4, [{ epoch: 0, start: 0, end: 8 }], activation(5), signal);
  await expect(unknown).rejects.toThrow();
  expect((await next).output!.shape).toEqual([8, 4]);
  await thread.dropPasses();
  expect((await thread.takeGradient()).samples).toBe(0);
});

it('profiles with progress, and is as before after an abort', async () => {
  const progress: number[][] = [];
  const { timings, handOverMs } = await thread.profile(JOB, NO_FILES, [2], (...call) => void progress.push(call), forever);
  expect(timings.map(({ block }) => block)).toEqual(['hidden0', 'hidden1', 'hidden2', 'output']);
  expect(progress).toEqual([1, 2, 3, 4].map((done) => [done, 4]));
  expect(handOverMs).toBeGreaterThan(0);
  // Of the device and not of the job, so that the next job need not wait for it.
  expect((await thread.profile(JOB, NO_FILES, [2], () => undefined, forever)).handOverMs).toBe(handOverMs);
  const abort = new AbortController();
  const called = thread.forward(0, 0, [{ epoch: 0, start: 0, end: 8 }], activation(5), abort.signal);
  const dropped = expect(thread.forward(0, 1, [{ epoch: 0, start: 8, end: 16 }], activation(5), abort.signal)).rejects.toThrow('enough');
  abort.abort(new Error('enough'));
  await Promise.allSettled([called, dropped]);
  await dropped;
  await thread.dropPasses();
  expect((await thread.forward(0, 1, [{ epoch: 0, start: 8, end: 16 }], activation(5), forever)).output!.shape).toEqual([8, 4]);
});

it('has the next steps behind what a stream adds and takes, without waiting for answers', async () => {
  const path = join(cache, 'points.csv');
  writeFileSync(path, `x,y,label\n${Array.from({ length: 40 }, (_, i) => `${i % 7},${i % 5},${i % 2 ? 'odd' : 'even'}\n`).join('')}`);
  const data = { type: 'csv', paths: [path], target: 'label', features: undefined, task: 'classification', validationFraction: 0.2 } as const;
  const files = await describeData(data, nodeFiles(), forever);
  const job = { ...JOB, data, files, model: { type: 'mlp', input: 2, hidden: [3], outputs: 2 }, sync: { strategy: 'streaming-diloco', localSteps: 2 } } as unknown as Job;
  const prepared = await thread.prepare(job, new Map(files.map(({ sha256 }) => [sha256, path])), 'all', forever);
  await thread.initialParameters();
  await thread.startStream();
  traffic.length = 0;
  const batches = [{ ranges: [{ epoch: 0, start: 0, end: 8 }], hyper: { learningRate: 0.1 } }];
  const step = () => thread.localSteps({ batches, result: 'nothing', stop: forever }, () => undefined, forever);
  const everything = [{ start: 0, length: prepared.parameters.length }];
  const first = step();
  await thread.prepareMix(everything, 0);
  const behind = [thread.applyMix(), thread.takeStreamMove(everything), step()];
  expect((await first).steps).toBe(1);
  await Promise.all(behind);
  expect(traffic).toEqual(['localSteps', 'answer', 'addParts', 'readParts', 'localSteps', 'answer', 'answer', 'answer']);
  expect(prepared.gradient.some((value) => value !== 0)).toBe(true);
});

it('refuses what exceeds the offer, and holds nothing then', async () => {
  const large = { ...JOB, model: { ...JOB.model, hidden: [5, 40_000, 4] } } as Job;
  await expect(thread.prepare(large, NO_FILES, [MIDDLE], forever, USE)).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringMatching(/^a stage of test with blocks 1 to 2 \(hidden1 … hidden2\) needs .* this node offers 1.0 MiB: parameters /),
  });
  await expect(thread.takeGradient()).rejects.toThrow('no run is prepared');
});

it('sets for the process what the engine sets for itself, as native code reads it there', async () => {
  const names = ['TF_ENABLE_ONEDNN_OPTS', 'TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS'];
  const native = (await availableEngines()).some(({ name, available }) => name === 'tensorflow' && available);
  const engine = native ? 'tensorflow' : 'wasm';
  const before = names.map((name) => [name, process.env[name]] as const);
  for (const name of names) delete process.env[name];
  try {
    const alone = `import { loadEngine } from '@longtail/engine';
      await loadEngine('${engine}', { threads: 2 });
      console.log(JSON.stringify(${JSON.stringify(names)}.map((name) => process.env[name] ?? '')));
      process.exit(0);`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', alone], { cwd: import.meta.dirname, encoding: 'utf8' });
    const other = await ComputeThread.open({ engine, pace: 1, memoryBytes: 2 ** 20, threads: 2, modules: 'refused' }, forever);
    const found = execFileSync('env', { encoding: 'utf8' }).split('\n');
    await other.close();
    const set = names.map((name) => found.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1) ?? '');
    expect(set).toEqual(JSON.parse(output.trim().split('\n').at(-1)!));
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
});
