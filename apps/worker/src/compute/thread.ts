import { totalmem } from 'node:os';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import type { BatchStats, BlockRange, Dataset, DataSignature, DeviceInfo, Engine, HostTensor, Job, StageUse } from '@longtail/core';
import { createRng, LongtailError } from '@longtail/core';
import { userCache } from '@longtail/core/user-folders';
import { openDataset, placeFiles } from '@longtail/data';
import { chooseEngine, createModel, measureGflops } from '@longtail/engine';
import { blobCache, nodeFiles } from '@longtail/store/node';
import { profileBlocks } from './block-profile.js';
import type { ProfileOptions } from './block-profile.js';
import type { ComputeCalls, ComputeReply, ComputeRequest, ComputeThreadOptions, PreparedTransfer } from './channel.js';
import { toCross } from './crossing.js';
import { EmulatedDevice } from './emulated-device.js';
import { CallAborted, Interrupts } from './interrupts.js';
import { dataFilesOf, localModel } from './model-files.js';
import { ModuleRunner } from './module-runner.js';
import { signatureOf } from './model-signature.js';
import { Pacer } from './pacer.js';
import { StageSession, workShares } from './stage-session.js';
import type { StageOptions } from './stage-session.js';
import { TrainingSession } from './training-session.js';
import { undisturbedTimes, type UndisturbedTimes } from './undisturbed.js';

/** The compute thread: an engine, at most one run's session, and one call at a time. */
const { options, interrupts: memory } = workerData as { options: ComputeThreadOptions; interrupts: SharedArrayBuffer };
const interrupts = new Interrupts(memory);
const pacer = new Pacer(options.pace, interrupts);
// Devices of one kind are early and late by themselves, not all at once.
const emulated = options.emulated && new EmulatedDevice(options.emulated, createRng(`device of process ${process.pid}`));
const source = nodeFiles();
const cacheRoot = userCache();

const modules = new ModuleRunner(options.modules, join(cacheRoot, 'traced'), interrupts);

/** What a stage is measured with when nobody says how it will be used. */
const DEFAULT_USE: StageUse = { microbatch: 16, inFlight: 1, recompute: false };

let session: TrainingSession | StageSession | undefined;
/** Of the job that was profiled last. */
let profiled: { readonly job: string; readonly undisturbed: UndisturbedTimes | undefined } | undefined;

type Handlers = {
  readonly [Name in keyof ComputeCalls]: (...args: Parameters<ComputeCalls[Name]>) => Promise<ReturnType<ComputeCalls[Name]>>;
};

function handlersFor(engine: Engine, { memoryBytes }: DeviceInfo): Handlers {
  const progress = (done: number, of: BatchStats | number): void => send({ kind: 'progress', done, of });
  return {
    prepare: (job, files, stages, use) => {
      const undisturbed = profiled?.job === JSON.stringify(job) ? profiled.undisturbed : undefined;
      return prepare({ engine, memoryBytes, pacer, interrupts, emulated, undisturbed }, job, files, stages, use);
    },
    initialParameters: () => current().initialParameters(),
    loadParameters: () => current().loadParameters(),
    loadState: (steps) => current(TrainingSession).loadState(steps),
    gradient: (ranges) => current(TrainingSession).gradient(ranges),
    localSteps: (request) => current(TrainingSession).localSteps(request, progress),
    readParts: (vector, parts) => current(TrainingSession).readParts(new Float32Array(vector), parts),
    addParts: (vector, parts) => current(TrainingSession).addParts(new Float32Array(vector), parts),
    evaluate: (split, start, end) => current(TrainingSession).evaluate(split, start, end),
    forward: (stage, microbatch, ranges, input) => current(StageSession).forward(stage, microbatch, ranges, input),
    backward: (op, stage, microbatch, outputGradient) => current(StageSession).backward(op, stage, microbatch, outputGradient),
    takeGradient: () => current(StageSession).takeGradient(),
    stepStages: (samples, hyper) => current(StageSession).stepStages(samples, hyper),
    takeMove: () => current(StageSession).takeMove(),
    dropPasses: () => current(StageSession).dropPasses(),
    evaluateStage: (stage, split, start, end, input) => current(StageSession).evaluate(stage, split, start, end, input),
    profile: (job, files, microbatches) => profile({ engine, memoryBytes, interrupts, onBlock: progress }, job, files, microbatches),
    echo: async (output, restMs) => {
      const startMs = performance.now();
      interrupts.pause(restMs);
      return { output, computeMs: performance.now() - startMs };
    },
    release,
  };
}

/** The run's session, which must be of the kind that a call is for. */
function current<Kind extends TrainingSession | StageSession = TrainingSession | StageSession>(kind?: Function & { prototype: Kind }): Kind {
  if (session === undefined) throw new Error('no run is prepared');
  if (kind !== undefined && !(session instanceof kind)) throw new Error(`a ${session.constructor.name} is prepared, not a ${kind.name}`);
  return session as Kind;
}

type Device = Pick<StageOptions, 'engine' | 'memoryBytes' | 'pacer' | 'interrupts' | 'emulated' | 'undisturbed'>;

async function prepare(
  device: Device,
  job: Job,
  files: ReadonlyMap<string, string>,
  stages: readonly BlockRange[] | 'all',
  use = DEFAULT_USE,
): Promise<PreparedTransfer> {
  await release();
  const local = await localJob(job, files);
  interrupts.throwIfAborted();
  const dataset = stages === 'all' ? await prepareWhole(device, local, files) : await prepareStages(device, local, files, stages, use);
  const prepared = session!;
  // A model that turns out too large, or that nobody wants any more, keeps no memory.
  const samplesPerSecond = await prepared.measure().catch(async (error: unknown) => {
    await release();
    throw error;
  });
  return {
    layouts: prepared.layouts,
    memoryBytes: prepared.memoryBytes,
    samplesPerSecond,
    trainSamples: dataset?.length('train') ?? 0,
    validationSamples: dataset?.length('validation') ?? 0,
    blocks: prepared.blocks,
    shared: prepared.shared,
  };
}

async function prepareWhole(device: Device, job: Job, files: ReadonlyMap<string, string>): Promise<Dataset> {
  const dataset = await openData(job, files);
  interrupts.throwIfAborted();
  session = await TrainingSession.create({ ...device, job: await modules.readied(job, dataset.signature), dataset });
  return dataset;
}

/** Stages between others read no data; what the data is like, most models say themselves. */
async function prepareStages(
  device: Device,
  job: Job,
  files: ReadonlyMap<string, string>,
  stages: readonly BlockRange[],
  use: StageUse,
): Promise<Dataset | undefined> {
  const known = signatureOf(job.model, job.loss);
  const hasEnd = known === undefined || (await hasFirstOrLast(job, known, stages));
  const dataset = hasEnd ? await openData(job, files) : undefined;
  interrupts.throwIfAborted();
  const signature = dataset?.signature ?? known!;
  const readied = await modules.readied(job, signature);
  const reads = known === undefined ? await hasFirstOrLast(readied, signature, stages) : hasEnd;
  session = await StageSession.create({ ...device, job: readied, stages, use, signature, dataset: reads ? dataset : undefined });
  return reads ? dataset : undefined;
}

async function hasFirstOrLast(job: Job, signature: DataSignature, stages: readonly BlockRange[]): Promise<boolean> {
  const { blocks } = await createModel(job.model, { ...signature, loss: job.loss });
  return stages.some(({ start, end }) => start === 0 || end >= blocks.length);
}

async function localJob(job: Job, files: ReadonlyMap<string, string>): Promise<Job> {
  modules.admit(job.model);
  return { ...job, model: await localModel(job, files, join(cacheRoot, 'models'), source, modules.confined) };
}

function openData(job: Job, files: ReadonlyMap<string, string>): Promise<Dataset> {
  return openDataset(job.data, placeFiles(dataFilesOf(job), files), { source, cache: blobCache(cacheRoot) });
}

type ProfiledDevice = Pick<ProfileOptions, 'engine' | 'memoryBytes' | 'interrupts' | 'onBlock'>;

async function profile(device: ProfiledDevice, job: Job, files: ReadonlyMap<string, string>, microbatches: readonly number[]): ReturnType<typeof profileBlocks> {
  const found = await localJob(job, files);
  const signature = signatureOf(found.model, found.loss) ?? (await openData(found, files)).signature;
  const local = await modules.readied(found, signature);
  const { threads, pace } = options;
  const times = await profileBlocks({ ...device, threads, pace, job: local, signature, microbatches, cache: blobCache(cacheRoot), nowMs: Date.now });
  if (emulated !== undefined) return { ...times, timings: emulated.profile(times.timings, workShares(local.name, await createModel(local.model, { ...signature, loss: local.loss }))) };
  profiled = { job: JSON.stringify(job), undisturbed: await undisturbedTimes(local, pace, times.timings) };
  return times;
}

async function release(): Promise<void> {
  await session?.dispose();
  session = undefined;
}

async function serve(handlers: Handlers, { call, args }: ComputeRequest): Promise<void> {
  try {
    const handler = handlers[call] as (...args: readonly unknown[]) => Promise<unknown>;
    const value = await handler(...args);
    const moved: ArrayBuffer[] = [];
    parentPort!.postMessage({ kind: 'result', value: crossing(value, moved) }, moved);
  } catch (error) {
    if (error instanceof CallAborted) send({ kind: 'aborted' });
    else send({ kind: 'failed', error: LongtailError.from(error, 'engine').toWire() });
  }
}

async function open(): Promise<Handlers> {
  const { engine, why, measured } = await chooseEngine({ preferred: options.engine, threads: options.threads });
  const device: DeviceInfo = {
    engine: engine.info.name,
    description: engine.info.description + (emulated === undefined ? '' : ` that emulates ${emulated.samplesPerSecond.toPrecision(3)} samples/s`),
    memoryBytes: Math.min(totalmem(), options.memoryBytes ?? Infinity),
    gflops: emulated !== undefined ? 0 : options.pace * (measured[engine.info.name] ?? (await measure(engine))),
    throttle: options.pace,
  };
  send({ kind: 'opened', device, choice: why });
  return handlersFor(engine, device);
}

/** The plain engine takes seconds a step: nobody chooses it for its speed. */
async function measure(engine: Engine): Promise<number> {
  return engine.info.name === 'cpu' ? 0 : measureGflops(engine);
}

/** The result of a pass with its tensor ready to cross. */
function crossing(value: unknown, moved: ArrayBuffer[]): unknown {
  const result = value as Partial<Record<'output' | 'inputGradient', HostTensor>> | undefined;
  for (const key of ['output', 'inputGradient'] as const) {
    const given = result?.[key];
    if (given === undefined) continue;
    const { tensor, moved: memory } = toCross(given);
    moved.push(...memory);
    return { ...result, [key]: tensor };
  }
  return value;
}

function send(reply: ComputeReply): void {
  parentPort!.postMessage(reply);
}

try {
  const handlers = await open();
  let served: Promise<unknown> = Promise.resolve();
  parentPort!.on('message', (request: ComputeRequest) => void (served = served.then(() => serve(handlers, request))));
} catch (error) {
  send({ kind: 'failed', error: LongtailError.from(error, 'engine').toWire() });
}
