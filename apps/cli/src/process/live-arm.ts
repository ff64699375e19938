import { LongtailError, type BenchArm, type ErrorCode, type EngineName, type StoredEvent } from '@longtail/core';
import { liveOutcome, planJoined, planLive, type ArmTask, type LivePlan, type Machine, type Workbench } from '@longtail/lab';
import type { JobDocument } from '@longtail/spec';
import { connectClient, type ControlClient } from '@longtail/transport';
import type { Output } from '../terminal/output.js';
import { RunServer, watchRun } from '../terminal/run-events.js';
import { connect, type ServerChoice } from './identity.js';
import { LocalCluster } from './local-cluster.js';
import { untilMeasured } from './until-measured.js';

/** Of the server, not of the arm, where its nodes compute: it is away, lets nobody in, or is of another version. */
const OF_THE_SERVER: ReadonlySet<ErrorCode> = new Set(['unreachable', 'refused', 'protocol']);
/** For so long a server is waited for that is told to end a run. */
const CANCEL_MS = 3000;

export interface LiveContext {
  readonly engine: EngineName;
  readonly machine: Machine;
  readonly workbench: Workbench;
  readonly runsFolder: string;
  /** Whose nodes compute. Undefined: processes of this machine. */
  readonly joined: ServerChoice | undefined;
  /** Told what goes on, and which part of the training is done. */
  doing(what: string, part?: number): void;
  readonly signal: AbortSignal;
}

/** Trains one arm with a server and workers of this machine, each a process, or with the nodes of a server. What makes it impossible is its outcome; throws what is wrong with that server, as `connect` does. */
export async function runLiveArm(task: ArmTask, context: LiveContext, output: Output): Promise<BenchArm> {
  const { arm, seed, knob } = task;
  const said = { name: arm.name, settings: arm.settings, seed, knob };
  try {
    if (context.joined !== undefined) return { ...said, outcome: liveOutcome(task, await eventsOfJoined(task, context.joined, context)) };
    const plan = await planLive(task, context.machine, context.workbench);
    return { ...said, outcome: liveOutcome(task, await eventsOf(plan, nameOf(task), context, output), plan.standsFor) };
  } catch (error) {
    const { code, message } = LongtailError.from(error);
    if (code === 'internal' || code === 'cancelled' || (context.joined !== undefined && OF_THE_SERVER.has(code))) throw error;
    return { ...said, outcome: { status: code === 'no-plan' ? 'refused' : 'failed', reason: message } };
  }
}

function nameOf({ arm, seed, knob }: ArmTask): string {
  return [arm.name, knob, `seed ${seed}`].filter(Boolean).join(', ');
}

async function eventsOf(plan: LivePlan, name: string, context: LiveContext, output: Output): Promise<readonly StoredEvent[]> {
  const { workers, standsFor, chunkLength } = plan;
  const cluster = new LocalCluster({ runsFolder: context.runsFolder, workers, standsFor, chunkLength, threads: 1, allowCode: 'confined' }, output);
  try {
    return await Promise.race([runOn(cluster, plan, name, context), cluster.failed.then((error) => Promise.reject(error))]);
  } finally {
    await cluster.end();
  }
}

async function runOn(cluster: LocalCluster, { job, workers }: LivePlan, name: string, { engine, doing, signal }: LiveContext): Promise<readonly StoredEvent[]> {
  doing(`${name}: ${workers.length} workers start, and their links are measured`);
  const client = await connectClient(await cluster.start(engine), signal);
  try {
    await untilMeasured(client, workers.length, signal);
    return await train(client, job, name, { doing, signal });
  } finally {
    client.close();
  }
}

async function eventsOfJoined(task: ArmTask, joined: ServerChoice, { workbench, doing, signal }: LiveContext): Promise<readonly StoredEvent[]> {
  const client = await connect(joined, signal);
  try {
    const { nodes } = await client.listNodes(signal);
    return await train(client, await planJoined(task, nodes.map(({ name }) => name), workbench), nameOf(task), { doing, signal });
  } finally {
    client.close();
  }
}

/** Resolves with all events of the run; when it is interrupted, the server is told to end it. */
async function train(client: ControlClient, job: JobDocument, name: string, { doing, signal }: Pick<LiveContext, 'doing' | 'signal'>): Promise<readonly StoredEvent[]> {
  const { run } = await client.launch(JSON.stringify(job), signal);
  try {
    const { epochs = 1, maxSamples } = job.train ?? {};
    const events: StoredEvent[] = [];
    for await (const event of watchRun(new RunServer(client), run, () => undefined, signal)) {
      events.push(event);
      const { body } = event;
      if (body.event === 'commit') doing(`${name}: trains live`, maxSamples === undefined ? body.epoch / epochs : body.samplesApplied / maxSamples);
    }
    const verdict = events.at(-1)?.body;
    if (verdict?.event === 'verdict' && verdict.status !== 'succeeded') throw new LongtailError(verdict.reason, { code: 'timeout' });
    return events;
  } catch (error) {
    if (signal.aborted) await client.cancel({ run, reason: 'its bench was interrupted' }, AbortSignal.timeout(CANCEL_MS)).catch(() => undefined);
    throw error;
  }
}
