import { fork, type ChildProcess } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Job, LayoutRequest, ModelProfile, RunEvent, RunLayout, StandingPlan } from '@longtail/core';
import { plannedLayout } from '@longtail/layout';
import { PROTOCOL_VERSION, type Hello } from '@longtail/protocol';
import { connectClient, dial, type ControlClient } from '@longtail/transport';
import { expect, test } from 'vitest';
import { layoutBeside, type StartThread } from './layout-beside.js';

const GIB = 2 ** 30;

const profile: ModelProfile = {
  name: 'ten',
  inputBytes: 4096,
  blocks: Array.from({ length: 10 }, (_, i) => ({
    name: `block${i}`,
    parameters: 25_000_000,
    tied: [],
    forwardFlops: 1e10,
    backwardFlops: 2e10,
    outputBytes: 4096,
    stashBytes: 2 ** 20,
    cutAfter: true,
  })),
};
const model: Job['model'] = { type: 'mlp', input: 1024, hidden: [], outputs: 10 };
const job = {
  name: 'ten',
  model,
  train: { batch: 64, optimizer: { type: 'sgd', momentum: 0 }, clipNorm: undefined, seed: 1 },
  sync: { strategy: 'bsp', codec: 'fp32', deadlineFactor: 3, minDeadlineMs: 1000 },
  cluster: { minWorkers: 1, waitMs: 1000, schedule: '1f1b', microbatch: 4 },
} as unknown as Job;

/** Nodes that were measured, of so many GiB each. */
function requestOf(...gib: readonly number[]): LayoutRequest {
  const nodes = gib.map((each, i) => ({
    node: `n${i}`,
    name: `worker ${i}`,
    device: { engine: 'tensorflow', description: '', memoryBytes: each * GIB, gflops: 100 + 70 * i, throttle: 1 } as const,
    link: { upBitsPerSecond: 1e9, downBitsPerSecond: 1e9, roundTripMs: 1 },
    blocks: [],
  }));
  return { job, nodes, peers: [], current: [], begun: false, model: undefined };
}

/** Layouts of threads of what `tsc --build` made, without the conditions that lead the tests to sources. */
function watched() {
  const threads: Worker[] = [];
  const start: StartThread = (workerData) => {
    const thread = new Worker(new URL('../dist/layout-thread.js', import.meta.url), { workerData, execArgv: [] });
    threads.push(thread);
    return thread;
  };
  return { threads, layout: layoutBeside(({ model }) => (model === job.model ? profile : undefined), start) };
}

const { signal: never } = new AbortController();

test('on a thread the planner comes to the same layout, and the thread ends with it', async () => {
  const { threads, layout } = watched();
  const request = requestOf(2, 3, 1.5, 2, 3);
  const planned = layout(request, never);
  expect(planned).toBeInstanceOf(Promise);
  await expect(planned).resolves.toEqual(plannedLayout(() => profile)(request));
  expect((await planned).plan?.groups.length).toBeGreaterThan(0);
  if (threads[0]!.threadId !== -1) await once(threads[0]!, 'exit');
  expect(getEventListeners(never, 'abort')).toEqual([]);
});

test('no thread is started for a run that has ended', async () => {
  const { threads, layout } = watched();
  await expect(layout(requestOf(2, 3, 1.5, 2, 3), AbortSignal.abort(new Error('it has ended')))).rejects.toThrow('it has ended');
  expect(threads).toEqual([]);
});

test('what is short of memory comes as the same error, and so does what the planner throws', async () => {
  const { layout } = watched();
  const small = requestOf(0.1, 0.1, 0.1, 0.1);
  const { shortfall } = await layout(small, never);
  const inLine = plannedLayout(() => profile)(small).shortfall!;
  expect(shortfall).toMatchObject({ name: inLine.name, code: 'no-plan', message: inLine.message, hint: inLine.hint });
  const standing = { plan: {} } as StandingPlan;
  const request = { ...requestOf(2, 3, 1.5, 2), begun: true, standing };
  let thrown: Error | undefined;
  try {
    plannedLayout(() => profile)(request);
  } catch (error) {
    thrown = error as Error;
  }
  await expect(layout(request, never)).rejects.toMatchObject({ code: 'internal', message: thrown!.message });
});

test.each<readonly [string, LayoutRequest]>([
  ['a few nodes', requestOf(2, 2, 2)],
  ['nodes that all hold the model', requestOf(9, 9, 9, 9)],
  ['fewer nodes than the job waits for', { ...requestOf(2, 2, 2, 2), job: { ...job, cluster: { ...job.cluster, minWorkers: 5 } } }],
  ['a model that nobody knows', { ...requestOf(2, 2, 2, 2), job: { ...job, model: { ...model } } }],
])('%s are laid out at once, without a thread', (_, request) => {
  const { threads, layout } = watched();
  expect((layout(request, never) as RunLayout).reason).not.toBe('');
  expect(threads).toEqual([]);
});

test('nobody waits for a layout that is not wanted any more, and its thread ends', async () => {
  const { threads, layout } = watched();
  const stop = new AbortController();
  const planned = layout(requestOf(2, 3, 1.5, 2, 3, 2, 2, 2), stop.signal);
  const over = once(threads[0]!, 'exit');
  stop.abort(new Error('enough'));
  await expect(planned).rejects.toThrow('enough');
  await over;
});

const WORKERS = 6;

test('while the server plans it answers others', { timeout: 120_000 }, async () => {
  const runs = await mkdtemp(join(tmpdir(), 'longtail-layout-'));
  const ending = new AbortController();
  const { signal } = ending;
  const server = fork(new URL('../dist/main.js', import.meta.url), ['--port', '0', '--runs', runs], { execArgv: [] });
  try {
    const address = await listening(server);
    const client = await connectClient(address, signal);
    let measured = 0;
    const all = new Promise<void>((resolve) => {
      const profiled = (): void => (++measured === WORKERS ? resolve() : undefined);
      for (let i = 0; i < WORKERS; i++) void joinAs(address, i, profiled, signal);
    });
    const { run } = await client.launch(JSON.stringify(LONG), signal);
    await all;
    let plans = true;
    const planned = untilPlanned(client, run, signal).finally(() => (plans = false));
    let answers = 0;
    for (; plans; answers++) await client.getServer(signal);
    await planned;
    client.close();
    expect(answers).toBeGreaterThan(30);
  } finally {
    ending.abort();
    server.disconnect();
    await once(server, 'exit');
    await rm(runs, { recursive: true });
  }
});

/** Plans for it take seconds: it is laid out exactly, for several ways to exchange. */
const LONG = {
  data: 'mnist',
  model: { type: 'mlp', hidden: Array.from({ length: 20 }, () => 1024) },
  train: { batch: 64, epochs: 1 },
  sync: 'auto',
  cluster: { minWorkers: WORKERS },
};

async function listening(server: ChildProcess): Promise<string> {
  const [message] = (await once(server, 'message')) as [{ readonly type: string; readonly address: string }];
  expect(message.type).toBe('listening');
  return message.address;
}

/** A worker that measures nothing, and is never ready. */
async function joinAs(address: string, i: number, profiled: () => void, signal: AbortSignal): Promise<void> {
  const device = { engine: 'cpu', description: '', memoryBytes: (120 + 10 * i) * 2 ** 20, gflops: 100 + 70 * i, throttle: 1 };
  const hello: Hello = { protocol: PROTOCOL_VERSION, name: `w${i}`, incarnation: `${i}`, device, allowCode: false, peerAddress: '', host: '', maxUploadBitsPerSecond: 0, curveKey: '', node: '', epoch: 0, standbyAddress: '', paused: '' };
  const { connection } = await dial(address, { hello, crc32c: () => 0, signal });
  const beats = setInterval(() => connection.send({ message: 'heartbeat', heartbeat: {} }), 500);
  connection.start({
    tensor: () => undefined,
    closed: () => clearInterval(beats),
    message(message) {
      if (message.message === 'probeLink') connection.send({ message: 'linkProbed', linkProbed: { upBitsPerSecond: 0, roundTripMs: 0 } });
      if (message.message !== 'profile') return;
      connection.send({ message: 'profiled', profiled: { run: message.profile.run, timings: [], cached: false, problem: 'it has no engine', handOverMs: 0, untimed: 0 } });
      profiled();
    },
  });
}

async function untilPlanned(client: ControlClient, run: string, signal: AbortSignal): Promise<void> {
  for await (const { bodyJson } of client.watch({ run, fromSeq: 0 }, signal)) {
    const body = JSON.parse(bodyJson) as RunEvent;
    if (body.event === 'planned') return;
    if (body.event === 'verdict') throw new Error(body.reason);
  }
}
