import type { BatchStats, Compute, LocalStepsRequest } from '@longtail/core';
import type { Task } from '@longtail/protocol';
import { expect, test } from 'vitest';
import { StreamRunner } from './stream-runner.js';
import type { WorkerInbox } from './worker-inbox.js';

const PART = { start: 0, length: 4 };

/** A runner whose device says what it is called for; steps go on until they are told to end, or are `stepped`. */
function setUp() {
  const calls: string[] = [];
  const arrived: (typeof PART)[] = [];
  let ready: (() => void)[] = [];
  let stepped: (steps: number) => void = () => undefined;
  const compute = {
    async localSteps({ batches, stop }: LocalStepsRequest) {
      calls.push(`${batches.length} steps`);
      const steps = await new Promise<number>((resolve) => {
        stepped = resolve;
        stop.addEventListener('abort', () => resolve(1));
      });
      return { ...NOTHING, computeMs: steps, steps };
    },
    prepareMix: (parts: readonly object[]) => {
      calls.push(`prepare ${parts.length}`);
      return new Promise<void>((resolve) => ready.push(resolve));
    },
    applyMix: async () => void calls.push('apply'),
    takeStreamMove: () => {
      calls.push('take');
      return new Promise<void>(() => undefined);
    },
  } as unknown as Compute;
  const inbox = {
    get hasArrived() {
      return arrived.length > 0;
    },
    takeArrived: () => arrived.splice(0),
    async startStream() {
      calls.push('start');
      arrived.length = 0;
    },
  } as unknown as WorkerInbox;
  const runner = new StreamRunner(compute, inbox, (call) => call);
  const arrive = () => {
    arrived.push(PART);
    runner.arrived();
  };
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return {
    runner,
    calls,
    arrive,
    settle,
    async prepared() {
      for (const resolve of ready) resolve();
      ready = [];
      await settle();
    },
    async step(steps: number) {
      stepped(steps);
      await settle();
    },
  };
}

const NOTHING: BatchStats = { samples: 0, targets: 0, lossSum: 0, correct: 0 };
const signal = new AbortController().signal;

function work(steps: number) {
  const task = { mixing: 0.5, steps: Array.from({ length: steps }, () => ({ ranges: [], learningRate: 0.1 })) } as unknown as Task;
  return { task, abort: new AbortController(), stop: new AbortController() };
}

test('what comes is worked out beside the steps, which end for it only when it is ready', async () => {
  const { runner, calls, arrive, settle, prepared, step } = setUp();
  const done = runner.steps(work(5), () => undefined);
  await settle();
  arrive();
  arrive(); // on its way while the first is worked out
  await settle();
  expect(calls).toEqual(['start', '5 steps', 'prepare 1']);
  await prepared();
  expect(calls.slice(3)).toEqual(['apply', 'prepare 1', '4 steps']);
  await prepared();
  await step(3);
  expect(await done).toMatchObject({ steps: 5, computeMs: 5 });
  expect(calls.slice(6)).toEqual(['apply', '3 steps']);
});

test('the steps of the next task are given before the move is there, and what comes late is mixed in behind it', async () => {
  const { runner, calls, arrive, settle, prepared, step } = setUp();
  const first = runner.steps(work(2), () => undefined);
  await settle();
  arrive();
  await step(2);
  await first;
  arrive();
  const taken = runner.take([PART], signal);
  await settle();
  expect(calls.slice(2), 'half mixed in').toEqual(['prepare 1']);
  await prepared();
  await taken;
  expect(calls.slice(3)).toEqual(['apply', 'take', 'prepare 1']);
  void runner.steps(work(2), () => undefined);
  await settle();
  expect(calls.slice(6)).toEqual(['2 steps']);
});

test('a stream that has ended mixes nothing in until it begins anew', async () => {
  const { runner, calls, arrive, settle, step } = setUp();
  const first = runner.steps(work(1), () => undefined);
  await settle();
  runner.end();
  arrive();
  await step(1);
  await first;
  void runner.steps(work(1), () => undefined);
  await settle();
  expect(calls).toEqual(['start', '1 steps', 'start', '1 steps']);
});
