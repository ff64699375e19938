import { totalmem } from 'node:os';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import type { DeviceInfo, Engine, Job, SampleRange, Split } from '@longtail/core';
import { LongtailError } from '@longtail/core';
import { openDataset, placeFiles } from '@longtail/data';
import { chooseEngine, measureGflops } from '@longtail/engine';
import { blobCache, nodeFiles, userCache } from '@longtail/store';
import type { ComputeCalls, ComputeReply, ComputeRequest, ComputeThreadOptions, PreparedTransfer } from './channel.js';
import { CallAborted, Interrupts } from './interrupts.js';
import { dataFilesOf, localModel } from './model-files.js';
import { Pacer } from './pacer.js';
import { TrainingSession } from './training-session.js';

/** The compute thread: an engine, at most one run's session, and one call at a time. */
const { options, interrupts: memory } = workerData as { options: ComputeThreadOptions; interrupts: SharedArrayBuffer };
const interrupts = new Interrupts(memory);
const pacer = new Pacer(options.pace, interrupts);
const source = nodeFiles();

let session: TrainingSession | undefined;

type Handlers = {
  readonly [Name in keyof ComputeCalls]: (...args: Parameters<ComputeCalls[Name]>) => Promise<ReturnType<ComputeCalls[Name]>>;
};

function handlersFor(engine: Engine): Handlers {
  return {
    prepare: (job, files) => prepare(engine, job, files),
    initialParameters: () => current().initialParameters(),
    loadParameters: () => current().loadParameters(),
    loadState: (steps) => current().loadState(steps),
    gradient: (ranges: readonly SampleRange[]) => current().gradient(ranges),
    localSteps: (batches) => current().localSteps(batches, (done, stats) => send({ kind: 'progress', done, stats })),
    evaluate: (split: Split, start, end) => current().evaluate(split, start, end),
    release,
  };
}

function current(): TrainingSession {
  if (session === undefined) throw new Error('no run is prepared');
  return session;
}

async function prepare(engine: Engine, job: Job, files: ReadonlyMap<string, string>): Promise<PreparedTransfer> {
  await release();
  const cache = userCache();
  const dataset = await openDataset(job.data, placeFiles(dataFilesOf(job), files), { source, cache: blobCache(cache) });
  interrupts.throwIfAborted();
  const model = await localModel(job, files, join(cache, 'models'), source);
  session = await TrainingSession.create({ engine, job: { ...job, model }, dataset, pacer, interrupts });
  const samplesPerSecond = await session.measure();
  return {
    layout: session.layout,
    memoryBytes: process.memoryUsage.rss(),
    samplesPerSecond,
    trainSamples: dataset.length('train'),
    validationSamples: dataset.length('validation'),
    shared: session.shared,
  };
}

async function release(): Promise<void> {
  await session?.dispose();
  session = undefined;
}

async function serve(handlers: Handlers, { call, args }: ComputeRequest): Promise<void> {
  try {
    const handler = handlers[call] as (...args: readonly unknown[]) => Promise<unknown>;
    send({ kind: 'result', value: await handler(...args) });
  } catch (error) {
    if (error instanceof CallAborted) send({ kind: 'aborted' });
    else send({ kind: 'failed', error: LongtailError.from(error, 'engine').toWire() });
  }
}

async function open(): Promise<Handlers> {
  const { engine, why, measured } = await chooseEngine({ preferred: options.engine, threads: options.threads });
  const device: DeviceInfo = {
    engine: engine.info.name,
    description: engine.info.description,
    memoryBytes: Math.min(totalmem(), options.memoryBytes ?? Infinity),
    gflops: options.pace * (measured[engine.info.name] ?? (await measure(engine))),
    throttle: options.pace,
  };
  send({ kind: 'opened', device, choice: why });
  return handlersFor(engine);
}

/** The plain engine takes seconds a step: nobody chooses it for its speed. */
async function measure(engine: Engine): Promise<number> {
  return engine.info.name === 'cpu' ? 0 : measureGflops(engine);
}

function send(reply: ComputeReply): void {
  parentPort!.postMessage(reply);
}

try {
  const handlers = await open();
  parentPort!.on('message', (request: ComputeRequest) => void serve(handlers, request));
} catch (error) {
  send({ kind: 'failed', error: LongtailError.from(error, 'engine').toWire() });
}
