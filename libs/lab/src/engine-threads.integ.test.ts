import { EventEmitter, once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import type { StartThread } from './engine-thread.js';
import { EngineThreads } from './engine-threads.js';
import { runArm, type ArmTask, type TellPart } from './run-arm.js';
import { scenario } from './testing/scenario.js';
import type { EngineRequest } from './thread-channel.js';
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
    const worker = part > 0.4 ? workers.pop() : undefined;
    if (worker !== undefined) ended.push(once(worker, 'exit'), worker.terminate());
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

test('what a thread fails with ends the arm by its sentence', async () => {
  const start: StartThread = () => {
    const fake = Object.assign(new EventEmitter(), {
      ref: () => undefined,
      unref: () => undefined,
      postMessage: (request: EngineRequest) =>
        queueMicrotask(() => fake.emit('message', 'build' in request ? { stats: undefined } : { error: { code: 'engine', message: 'engine cpu has no operation Wobble', hint: '', where: '' } })),
    });
    return fake as unknown as Worker;
  };
  const threads = new EngineThreads('cpu', start);
  threads.use(2);
  const [task] = tasks('[{strategy: bsp}]');
  const { outcome } = await runArm(task!, new Workbench('cpu', threads));
  expect(outcome).toEqual({ status: 'failed', reason: expect.stringContaining('engine cpu has no operation Wobble') });
});
