import { setFlagsFromString } from 'node:v8';
import { LongtailError } from '@longtail/core';
import type { Job, MeasuredCluster, ModelProfile, PlanRequest } from '@longtail/core';
import { userCache } from '@longtail/core/user-folders';
import { describeData, openDataset } from '@longtail/data';
import { createModel, profileModel } from '@longtail/engine';
import { USUAL_CODING } from '@longtail/kernels';
import { exactMakespan, planOwnLayout, planWithSync } from '@longtail/layout';
import { createPlan, PLANS_ONCE } from '@longtail/planner';
import { parseFleetFile, resolveJob, validateJob, type Overrides } from '@longtail/spec';
import { blobCache, nodeFiles } from '@longtail/store/node';
import type { ControlClient } from '@longtail/transport';
import { clusterOf } from '../process/cluster-of.js';
import { connect, type ServerChoice } from '../process/identity.js';
import type { Output } from '../terminal/output.js';
import { readJobFile, readTextFile } from '../terminal/read-job-file.js';
import { planLines } from '../view/plan.js';

interface PlanOptions extends ServerChoice {
  readonly set: Overrides;
  readonly fleet?: string;
  readonly localSteps?: number;
  readonly recompute?: PlanRequest['recompute'];
  readonly optimizerBits?: string;
  readonly activationBits?: string;
}

/** What a worker's process takes before the model comes, mostly the engine's library: of a machine described by its memory, not by its offer. */
const ENGINE_BYTES = 2 ** 29;

export async function plan(output: Output, options: PlanOptions, file: string): Promise<number> {
  for (const option of PLANS_ONCE) setFlagsFromString(option);
  const [job, profile] = await profileJob(file, options.set);
  const { cluster, notes } = await findCluster(options, job, profile);
  const own = job.cluster.layout !== undefined;
  const { plan: found, sync } = planWithSync(withLocalSteps(withStateBits(job, options.optimizerBits), options.localSteps), profile, cluster, (wanted) => {
    const request = requestFor(wanted, options);
    return own ? planOwnLayout(job, profile, cluster, request) : createPlan(profile, cluster, request, { makespanOf: exactMakespan() });
  }, () => USUAL_CODING);
  const whole = { ...found, notes: [...found.notes, ...notes] };
  if (output.json) output.event({ event: 'plan', ...whole, ...(sync && { sync }) });
  else [...planLines(whole, output.colors), ...(sync === undefined ? [] : ['', `sync: ${sync.reason}`])].forEach((line) => output.line(line));
  return 0;
}

/** The job with its data opened, and what its model costs. */
async function profileJob(file: string, overrides: Overrides): Promise<[Job, ModelProfile]> {
  const { document } = await readJobFile(file, overrides);
  const draft = validateJob(document);
  const source = nodeFiles();
  const { signal } = new AbortController();
  const data = await describeData(draft.data, source, signal);
  const { signature } = await openDataset(draft.data, data, { source, cache: blobCache(userCache()) });
  const job = resolveJob(draft, signature);
  const model = await createModel(job.model, { ...signature, loss: job.loss });
  return [job, profileModel(`${job.model.type} of ${job.name}`, model)];
}

function requestFor(request: PlanRequest, { fleet, activationBits, recompute }: PlanOptions): PlanRequest {
  return {
    ...request,
    activationBits: activationBits === undefined ? request.activationBits : Number(activationBits),
    recompute: recompute ?? request.recompute,
    workspaceBytes: fleet === undefined ? 0 : ENGINE_BYTES,
  };
}

function withLocalSteps(job: Job, localSteps: number | undefined): Job {
  if (localSteps === undefined) return job;
  const { sync } = job;
  const strategy = localSteps === 1 ? 'bsp' : sync.strategy.endsWith('diloco') ? sync.strategy : 'diloco';
  return { ...job, sync: { ...sync, strategy, localSteps } };
}

function withStateBits(job: Job, bits: string | undefined): Job {
  const { optimizer } = job.train;
  if (optimizer.type !== 'adam' || bits === undefined) return job;
  return { ...job, train: { ...job.train, optimizer: { ...optimizer, stateBits: bits === '8' ? 8 : 32 } } };
}

const ELSE_A_FILE = 'or plan for machines that are not there with --fleet.';

async function nodesOf(server: string, token: string | undefined): Promise<Awaited<ReturnType<ControlClient['listNodes']>>> {
  const { signal } = new AbortController();
  try {
    const client = await connect({ server, token }, signal);
    try {
      return await client.listNodes(signal);
    } finally {
      client.close();
    }
  } catch (cause) {
    const { code, message, where } = LongtailError.from(cause);
    if (code !== 'unreachable') throw cause;
    throw new LongtailError(message, { code, where, hint: `Check the address and that \`longtail up\` runs there; ${ELSE_A_FILE}`, cause });
  }
}

async function findCluster({ fleet, server, token }: PlanOptions, job: Job, profile: ModelProfile): Promise<{ cluster: MeasuredCluster; notes: readonly string[] }> {
  if (fleet !== undefined) {
    const text = await readTextFile(fleet, 'fleet file', 'Fleets to start from are in examples/fleets/.');
    return { cluster: parseFleetFile(text, fleet), notes: ['speeds are priors: part of the peak, until a worker measures itself'] };
  }
  const { nodes, peers } = await nodesOf(server, token);
  if (nodes.length > 0) return clusterOf(nodes, peers, { server, job, profile });
  throw new LongtailError(`no worker has joined ${server}`, { code: 'no-plan', hint: `On each machine: longtail join ${server}; ${ELSE_A_FILE}` });
}
