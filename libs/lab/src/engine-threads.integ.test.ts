import { EventEmitter, once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { BenchArm } from '@longtail/core';
import { expect, test } from 'vitest';
import type { StartThread } from './engine-thread.js';
import { EngineThreads } from './engine-threads.js';
import { runArm, type ArmTask, type TellPart } from './run-arm.js';
import { scenario } from './testing/scenario.js';
import { BEGUN, type ComputeRequest, type EngineRequest, type ThreadOptions } from './thread-channel.js';
import { Workbench } from './workbench.js';

const FLEET = `{machines: [
  {name: home, count: 2, samplesPerSecond: 100, link: cable},
  {name: phone, count: 2, samplesPerSecond: 40, link: lte, churn: {type: exponential, here: 3s, away: 1s}}]}`;
const ARMS = '[{strategy: bsp}, {strategy: diloco, sync.localSteps: 3}, {strategy: asp}]';

function tasks(text: string, fleet?: string): readonly ArmTask[] {
  const { arms, seeds: _, ...rest } = scenario(text, { fleet });
  return arms.map((arm) => ({ scenario: rest, mode: 'virtual', arm, seed: 1, traces: {} }));
}

async function outcomes(workbench: Workbench, tell?: TellPart): Promise<readonly string[]> {
  const ran = [];
  for (const task of tasks(ARMS, FLEET)) ran.push(JSON.stringify(await runArm(task, workbench, tell)));
  return ran;
}

/** Threads of what `tsc --build` made, without the conditions that lead the tests to sources, and what they answered. */
function watchedThreads() {
  const workers: Worker[] = [];
  const ready: Promise<unknown>[] = [];
  const answers: number[] = [];
  const start: StartThread = (workerData) => {
    const worker = new Worker(new URL('../dist/thread.js', import.meta.url), { workerData, execArgv: [] });
    const at = workers.push(worker) - 1;
    answers[at] = 0;
    worker.on('message', () => answers[at]!++);
    ready.push(once(worker, 'message'));
    return worker;
  };
  return { workers, ready, answers, threads: new EngineThreads('cpu', start) };
}

test('on threads an arm comes to the same bytes as on one, and so does one whose threads end under it', { timeout: 60_000 }, async () => {
  const alone = await outcomes(new Workbench('cpu'));
  const { workers, ready, answers, threads } = watchedThreads();
  const workbench = new Workbench('cpu', threads);
  threads.use(3);
  expect(await outcomes(workbench)).toEqual(alone);
  expect(workers).toHaveLength(2);
  await Promise.all(ready);
  const before = [...answers];
  expect(await outcomes(workbench)).toEqual(alone);
  answers.forEach((count, i) => expect(count).toBeGreaterThan(before[i]! + 10));

  const ended: Promise<unknown>[] = [];
  const end = (part: number) => {
    if (part < 0.4) return;
    for (const worker of workers.splice(0)) ended.push(once(worker, 'exit'), worker.terminate());
  };
  expect(await outcomes(workbench, end)).toEqual(alone);
  await Promise.all(ended);
  expect(ended.length).toBeGreaterThanOrEqual(4);
});

test('with one processor nothing is started', async () => {
  const { workers, threads } = watchedThreads();
  threads.use(1);
  await outcomes(new Workbench('cpu', threads));
  expect(workers).toEqual([]);
});

/** A thread that does with what it is to compute what `computes` says. */
function fakeThread(computes: (request: ComputeRequest, options: ThreadOptions, worker: EventEmitter) => void): StartThread {
  return (options) => {
    const worker = new EventEmitter();
    const postMessage = (request: EngineRequest) => queueMicrotask(() => ('build' in request ? worker.emit('message', { stats: undefined }) : computes(request.compute, options, worker)));
    return Object.assign(worker, { ref: () => undefined, unref: () => undefined, postMessage }) as unknown as Worker;
  };
}

async function runOne(start?: StartThread): Promise<BenchArm> {
  const threads = new EngineThreads('cpu', start);
  if (start !== undefined) threads.use(2);
  return runArm(tasks('[{strategy: bsp}]')[0]!, new Workbench('cpu', threads));
}

test('an arm has no more threads than its own batches leave memory for, whichever arm had the model before', async () => {
  const threads = new EngineThreads('cpu', fakeThread(() => undefined));
  threads.use(2);
  const workbench = new Workbench('cpu', threads);
  const opened = await workbench.open(tasks('[{strategy: bsp}]')[0]!.arm.job);
  const begun = async (batch: number) => {
    threads.begin(2);
    const model = await workbench.model({ ...opened, job: { ...opened.job, train: { ...opened.job.train, batch } } });
    return model.beginGradient!(new Float32Array(model.layout.length), () => new Int32Array(1));
  };
  expect(await begun(8)).toBeDefined();
  expect(await begun(1e12)).toBeUndefined();
  expect(await begun(8)).toBeDefined();
});

test('what a thread had begun when it ended is computed all the same', async () => {
  let begun = 0;
  const start = fakeThread(({ ticket }, { states }, worker) => {
    Atomics.store(states, ticket, BEGUN);
    begun++;
    setImmediate(() => setImmediate(() => worker.emit('exit')));
  });
  expect(JSON.stringify(await runOne(start))).toBe(JSON.stringify(await runOne()));
  expect(begun).toBeGreaterThan(0);
});

test('what a thread fails with ends the arm by its sentence', async () => {
  const error = { code: 'engine', message: 'engine cpu has no operation Wobble', hint: '', where: '' };
  const { outcome } = await runOne(fakeThread((_, __, worker) => worker.emit('message', { error })));
  expect(outcome).toEqual({ status: 'failed', reason: expect.stringContaining(error.message) });
});
