import { parentPort, workerData } from 'node:worker_threads';
import { LongtailError, type BatchStats, type Stage } from '@longtail/core';
import { loadEngine } from '@longtail/engine';
import { BEGUN, FREE, type BuildRequest, type ComputeRequest, type EngineReply, type EngineRequest, type ThreadOptions } from './thread-channel.js';

/** What an `EngineThread` runs. */
const { engine: name, states } = workerData as ThreadOptions;
const engine = loadEngine(name, { threads: 1 });
// Whoever builds a model hears of it.
engine.catch(() => undefined);
const stages: { readonly stage: Promise<Stage>; version: number | undefined }[] = [];
let line: Promise<void> = Promise.resolve();

parentPort!.on('message', (request: EngineRequest) => {
  line = line.then(async () => parentPort!.postMessage(await replyTo(request)));
});

async function replyTo(request: EngineRequest): Promise<EngineReply> {
  try {
    return { stats: await ('build' in request ? build(request.build) : compute(request.compute)) };
  } catch (error) {
    return { error: LongtailError.from(error).toWire() };
  }
}

async function build({ model, options }: BuildRequest): Promise<undefined> {
  const stage = engine.then((loaded) => loaded.build(model, 'all', options));
  stages.push({ stage, version: undefined });
  await stage;
}

async function compute({ stage: number, ticket, version, parameters, batch, gradient }: ComputeRequest): Promise<BatchStats | undefined> {
  if (Atomics.compareExchange(states, ticket, FREE, BEGUN) !== FREE) return undefined;
  const held = stages[number]!;
  const stage = await held.stage;
  if (held.version !== version) {
    await stage.writeParameters(parameters);
    held.version = version;
  }
  if (gradient === undefined) return stage.evaluate(batch);
  const stats = await stage.gradient(batch);
  await stage.takeGradient(gradient);
  return stats;
}
