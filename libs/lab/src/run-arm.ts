import { LongtailError, type ErrorCode, type BenchArm, type BenchNode, type BenchOutcome, type Job, type RunLayout } from '@longtail/core';
import { simulate, wasmArithmetic, type LinkSpec } from '@longtail/simulator';
import { withOverrides, type BenchScenario, type JobDocument, type ScenarioArm } from '@longtail/spec';
import { bottleneckOf } from './bottleneck.js';
import { ComputeLog } from './compute-log.js';
import { equalShares, withEqualSteps } from './equal-parts.js';
import { Evaluation } from './evaluation.js';
import { lossCurve } from './loss-curve.js';
import { figuresOf } from './figures.js';
import { drawFleet, type DrawnFleet } from './fleet.js';
import { layoutBy } from './layouts.js';
import { grown, likenessOf, parametersOf, type Likeness } from './stands-for.js';
import { parseTrace } from './trace.js';
import type { OpenedJob, Workbench } from './workbench.js';

/** One run: plain data, so that it travels to a thread and its text says what it depends on. */
export interface ArmTask {
  readonly scenario: Omit<BenchScenario, 'arms' | 'seeds' | 'name' | 'description'>;
  readonly arm: ScenarioArm;
  readonly seed: number;
  readonly knob?: string | undefined;
  /** Text of trace files by their paths. */
  readonly traces: Readonly<Record<string, string>>;
}

/** It was never begun. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set(['usage', 'no-plan', 'invalid-file']);
/** The others would meet it too. */
const FATAL: ReadonlySet<ErrorCode> = new Set(['internal', 'engine', 'invalid-data', 'missing-file', 'checksum']);

/** Values a chunk. */
const CHUNK_LENGTH = 4096;

/** Trains one arm in virtual time. What makes it impossible is its outcome: the others go on. */
export async function runArm({ scenario, arm, seed, knob, traces }: ArmTask, workbench: Workbench): Promise<BenchArm> {
  const { name, settings } = arm;
  try {
    if (arm.refusal !== undefined) throw new LongtailError(arm.refusal, { code: 'usage' });
    return { name, settings, seed, knob, outcome: await train({ scenario, arm, seed, traces }, workbench) };
  } catch (error) {
    const { code, message } = LongtailError.from(error);
    if (FATAL.has(code)) throw error;
    return { name, settings, seed, knob, outcome: { status: REFUSALS.has(code) ? 'refused' : 'failed', reason: message } };
  }
}

/** Machines as the seed draws them, for the result. */
export function benchNodes(task: ArmTask): readonly BenchNode[] {
  return fleetOf(task, 1).machines.map(({ bench }) => bench);
}

async function train(task: ArmTask, workbench: Workbench): Promise<BenchOutcome> {
  const { scenario, arm, seed } = task;
  const opened = await workbench.open(seeded(arm, seed));
  const like = likeness(task, opened);
  const fleet = fleetOf(task, like.flops * opened.flopsPerSample);
  const job = staffed(opened.job, arm, fleet);
  const model = await workbench.model({ ...opened, job });
  const total = Math.min(job.train.maxSamples ?? Infinity, job.train.epochs * model.trainSamples);
  const evaluation = new Evaluation(scenario.evaluation.points, total);
  const computed = new ComputeLog();
  const layout = layoutBy(arm.planner, grown(opened.profile, like), fleet, seed);
  const shared = fleet.server;
  const outcome = await simulate({
    job,
    model,
    fleet: fleet.machines.flatMap(({ worker }) => (worker === undefined ? [] : [{ ...worker, link: slower(worker.link!, like) }])),
    churn: fleet.machines.flatMap(({ faults }) => faults),
    seed,
    chunkLength: CHUNK_LENGTH,
    serverBitsPerSecond: Math.min(shared.up, shared.down) / like.parameters,
    limitMs: scenario.limit,
    arithmetic: wasmArithmetic,
    layout: (request) => onlyWhole(layout(request)),
    ...(arm.planner === 'equal' && { shares: equalShares, watch: withEqualSteps }),
    computed: (worker, fromMs, toMs) => computed.note(worker, fromMs, toMs),
    committed: evaluation.committed,
  });
  if (outcome.verdict.status !== 'succeeded') throw LongtailError.fromWire(outcome.verdict.error ?? { code: 'timeout', message: outcome.verdict.reason, hint: '', where: '' });
  const loss = lossCurve(await evaluation.losses(model, scenario.evaluation.samples), outcome.events, like.parameters);
  const nodes = fleet.machines.map(({ bench }) => bench);
  const figures = figuresOf({ events: outcome.events, computed, nodes, bytesScale: like.parameters, loss, targetLoss: scenario.targetLoss, prices: scenario.prices });
  return { ...figures, bottleneck: bottleneckOf(figures, nodes, fleet.server, outcome.events) };
}

function likeness({ scenario }: ArmTask, { profile, flopsPerSample }: OpenedJob): Likeness {
  return likenessOf(scenario.standsFor, parametersOf(profile), flopsPerSample);
}

function fleetOf({ scenario, seed, traces }: ArmTask, flopsPerSample: number): DrawnFleet {
  const stays = (path: string) => parseTrace(traces[path]!, path);
  return drawFleet(scenario.fleet, { seed, flopsPerSample, untilMs: scenario.limit, stays });
}

/** The seed of a run is that of its training too. */
function seeded({ job }: ScenarioArm, seed: number): JobDocument {
  return withOverrides(job, { 'train.seed': seed }) as JobDocument;
}

/**
 * Begins with all who are there from the start, unless the job says with how many. The lab looks itself how good the model is; checkpoints
 * cost a run no time.
 */
function staffed(job: Job, { job: document }: ScenarioArm, { machines }: DrawnFleet): Job {
  const beginning = machines.filter(({ begins }) => begins).length;
  const firstMs = machines.reduce((least, { worker }) => Math.min(least, worker?.joinAtMs ?? Infinity), Infinity);
  if (firstMs === Infinity) throw new LongtailError('no machine ever comes', { code: 'no-plan', where: 'fleet' });
  const minWorkers = document.cluster?.minWorkers ?? Math.max(1, beginning);
  return {
    ...job,
    cluster: { ...job.cluster, minWorkers, waitMs: firstMs + job.cluster.waitMs },
    validation: { everyEpochs: job.train.epochs, maxSamples: machines.length },
    checkpoint: { ...job.checkpoint, everyMs: 1e12 },
  };
}

/** What travels is smaller than what it stands for, and so are the links. */
function slower({ upBitsPerSecond, downBitsPerSecond, ...link }: LinkSpec, { parameters }: Likeness): LinkSpec {
  return { ...link, upBitsPerSecond: upBitsPerSecond / parameters, downBitsPerSecond: downBitsPerSecond / parameters };
}

function onlyWhole(layout: RunLayout): RunLayout {
  if (layout.groups.every(({ stages }) => stages.length === 1)) return layout;
  throw new LongtailError('it takes a pipeline, and --mode virtual trains whole models: take --mode timing, or a smaller model', { code: 'no-plan' });
}
