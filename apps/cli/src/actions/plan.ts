import { CODEC_BITS, LongtailError, stateBytesPerParameter } from '@longtail/core';
import type { Job, MeasuredCluster, ModelProfile, OptimizerSpec, PlanRequest } from '@longtail/core';
import { describeData, openDataset } from '@longtail/data';
import { createModel, profileModel } from '@longtail/engine';
import { createPlan } from '@longtail/planner';
import { parseFleetFile, resolveJob, validateJob } from '@longtail/spec';
import { blobCache, nodeFiles, userCache } from '@longtail/store';
import { connectClient } from '@longtail/transport';
import { clusterOf } from '../process/cluster-of.js';
import { exactMakespan } from '../process/exact-makespan.js';
import type { Output } from '../terminal/output.js';
import { readJobFile, readTextFile } from '../terminal/read-job-file.js';
import { planLines } from '../view/plan.js';

interface PlanOptions {
  readonly fleet?: string;
  readonly server: string;
  readonly localSteps: number;
  readonly recompute: PlanRequest['recompute'];
  /** Undefined: the job's. */
  readonly optimizerBits?: string;
  readonly activationBits?: string;
}

/** Sizes that engines are measured at; a plan takes one for each group. */
const MICROBATCHES = [1, 4, 16, 64];

/** What a worker's process takes before the model comes: mostly the engine's library. */
const ENGINE_BYTES = 2 ** 29;

export async function plan(output: Output, options: PlanOptions, file: string): Promise<number> {
  const [job, profile] = await profileJob(file);
  const { cluster, notes } = await findCluster(options);
  const found = createPlan(profile, cluster, requestFor(job, options), { makespanOf: exactMakespan });
  const whole = { ...found, notes: [...found.notes, ...notes] };
  if (output.json) output.event({ event: 'plan', ...whole });
  else planLines(whole, output.colors).forEach((line) => output.line(line));
  return 0;
}

/** The job with its data opened, and what its model costs. */
async function profileJob(file: string): Promise<[Job, ModelProfile]> {
  const { document } = await readJobFile(file);
  const draft = validateJob(document);
  const source = nodeFiles();
  const { signal } = new AbortController();
  const data = await describeData(draft.data, source, signal);
  const { signature } = await openDataset(draft.data, data, { source, cache: blobCache(userCache()) });
  const job = resolveJob(draft, signature);
  const model = await createModel(job.model, { ...signature, loss: job.loss });
  return [job, profileModel(`${job.model.type} of ${job.name}`, model)];
}

function requestFor(job: Job, options: PlanOptions): PlanRequest {
  const { batch, optimizer } = job.train;
  const { codec, activationCodec = 'fp32' } = job.sync;
  const bits = CODEC_BITS[codec];
  return {
    batch,
    stepsPerRound: options.localSteps,
    microbatches: MICROBATCHES.filter((size) => size <= batch),
    stateBytesPerParameter: stateBytesPerParameter(withStateBits(optimizer, options.optimizerBits)),
    upBitsPerValue: bits,
    downBitsPerValue: bits,
    activationBits: Number(options.activationBits ?? CODEC_BITS[activationCodec]),
    recompute: options.recompute,
    schedule: 'capped-1f1b',
    workspaceBytes: ENGINE_BYTES,
  };
}

function withStateBits(optimizer: OptimizerSpec, bits: string | undefined): OptimizerSpec {
  return optimizer.type === 'adam' && bits !== undefined ? { ...optimizer, stateBits: bits === '8' ? 8 : 32 } : optimizer;
}

async function findCluster({ fleet, server }: PlanOptions): Promise<{ cluster: MeasuredCluster; notes: readonly string[] }> {
  if (fleet !== undefined) {
    const text = await readTextFile(fleet, 'fleet file', 'Fleets to start from are in examples/fleets/.');
    return { cluster: parseFleetFile(text, fleet), notes: ['speeds are priors: part of the peak, until a worker measures itself'] };
  }
  const { signal } = new AbortController();
  const client = await connectClient(server, signal);
  try {
    const { nodes } = await client.listNodes(signal);
    if (nodes.length > 0) return clusterOf(nodes, server);
  } finally {
    client.close();
  }
  throw new LongtailError(`no worker has joined ${server}`, {
    code: 'no-plan',
    hint: `On each machine: longtail join ${server}; or plan for machines that are not there with --fleet.`,
  });
}
