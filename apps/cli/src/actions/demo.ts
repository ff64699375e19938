import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LongtailError } from '@longtail/core';
import type { Overrides } from '@longtail/spec';
import type { LinkRates } from '@longtail/spec/links';
import { connectClient } from '@longtail/transport';
import type { EngineChoice } from '@longtail/worker';
import { fastestEngine } from '../process/engines.js';
import { Interruption } from '../process/interruption.js';
import { LocalCluster } from '../process/local-cluster.js';
import type { Output } from '../terminal/output.js';
import type { JobFile } from '../terminal/read-job-file.js';
import { readJobFile, recorded, type RecordOption } from '../terminal/read-job-file.js';
import { runJob } from '../terminal/run-job.js';

interface DemoOptions {
  readonly job: string;
  readonly workers: number;
  /** Of the workers, repeated as needed. */
  readonly paces: readonly number[];
  /** The paces say no more than how fast the workers are beside each other: all are slowed down until they fit on the machine. */
  readonly fitting?: boolean;
  /** Bytes that each worker offers, repeated as needed; undefined: all there is. */
  readonly memory?: readonly number[];
  /** That each worker emulates, repeated as needed; undefined: the machine's own. */
  readonly link?: readonly LinkRates[];
  readonly engine: EngineChoice;
  readonly threads?: number;
  readonly runs: string;
  readonly set: Overrides;
  readonly record?: RecordOption;
}

/** Of the machine's processors, what workers that fit may compute on together: the rest is for their event loops and the server. */
const COMPUTING = 0.6;
/** Within which a server that no longer answers is known to have ended, if it has. */
const DEATH_MS = 2000;

export async function demo(output: Output, options: DemoOptions): Promise<number> {
  const file = recorded(await readJobFile(options.job, options.set), options.record);
  const cores = availableParallelism();
  const threads = options.threads ?? Math.max(1, Math.floor(cores / options.workers));
  const paces = Array.from({ length: options.workers }, (_, i) => cyclic(options.paces, i)!);
  const wanted = threads * paces.reduce((sum, pace) => sum + pace, 0);
  const slowed = options.fitting ? Math.min(1, (COMPUTING * cores) / wanted) : 1;
  const job = { ...file, document: { ...file.document, cluster: { ...file.document.cluster, minWorkers: options.workers } } };
  const cluster = new LocalCluster(
    {
      runsFolder: resolve(options.runs),
      workers: paces.map((pace, i) => ({
        pace: Number((slowed * pace).toPrecision(2)),
        memoryBytes: cyclic(options.memory ?? [], i),
        link: cyclic(options.link ?? [], i),
      })),
      threads,
      // The job and the machine belong to the same person.
      allowCode: 'trusted',
    },
    output,
  );
  const interruption = new Interruption(
    () => output.note('cancelling; the model is saved first (Ctrl-C again to leave at once)'),
    () => cluster.kill(),
  );
  try {
    const engine = await chooseEngine(options.engine, cluster.threads, output);
    interruption.signal.throwIfAborted();
    return await Promise.race([runOn(cluster, engine, job, output, interruption.signal), rejectWith(cluster.failed)]);
  } catch (error) {
    // What breaks after a Ctrl-C breaks because of it.
    interruption.signal.throwIfAborted();
    // A connection breaks before it is known how the process behind it ended.
    if (LongtailError.from(error).code === 'unreachable') throw await Promise.race([cluster.failed, delay(DEATH_MS, error, { ref: false })]);
    throw error;
  } finally {
    await cluster.end();
    interruption.restore();
  }
}

/** Once for all workers: four that measure at the same time would measure each other. */
async function chooseEngine(choice: EngineChoice, threads: number, output: Output): Promise<EngineChoice> {
  if (choice !== 'auto') return choice;
  const { engine, why } = await fastestEngine(threads);
  output.note(`engine: ${why}`);
  return engine;
}

async function runOn(
  cluster: LocalCluster,
  engine: EngineChoice,
  job: JobFile,
  output: Output,
  interruption: AbortSignal,
): Promise<number> {
  const address = await cluster.start(engine);
  interruption.throwIfAborted();
  const client = await connectClient(address, interruption);
  try {
    return await runJob(client, job, output, interruption);
  } finally {
    client.close();
  }
}

function cyclic<T>(values: readonly T[], i: number): T | undefined {
  return values[i % values.length];
}

async function rejectWith(error: Promise<Error>): Promise<never> {
  throw await error;
}
