import { LongtailError, type BenchArm, type BenchLinks, type BenchMode, type BenchNode, type BenchOutcome, type ErrorCode, type Job, type ModelProfile } from '@longtail/core';
import { CHUNK_LENGTH } from '@longtail/runtime';
import { isActivation, simulate, timingModel, wasmArithmetic, type Outcome, type Scenario } from '@longtail/simulator';
import { withOverrides, type BenchScenario, type JobDocument, type ScenarioArm } from '@longtail/spec';
import { bottleneckOf } from './bottleneck.js';
import { equalShares, withEqualSteps } from './equal-parts.js';
import { Evaluation } from './evaluation.js';
import { figuresOf } from './figures.js';
import { drawFleet, type DrawnFleet } from './fleet.js';
import { layoutBy } from './layouts.js';
import { grown, likenessOf, parametersOf, type Likeness } from './stands-for.js';
import { Tally } from './tally.js';
import { parseTrace } from './trace.js';
import type { OpenedJob, Workbench } from './workbench.js';

/** One run: plain data, so that it travels to a thread and its text says what it depends on. */
export interface ArmTask {
  readonly scenario: Omit<BenchScenario, 'arms' | 'seeds' | 'name' | 'description'>;
  readonly mode: BenchMode;
  readonly arm: ScenarioArm;
  readonly seed: number;
  /** What a task takes the host beside what is described, where virtual time is to be that of a live run. */
  readonly taskMs?: number | undefined;
  readonly knob?: string | undefined;
  /** Text of trace files by their paths. */
  readonly traces: Readonly<Record<string, string>>;
}

/** It was never begun. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set(['usage', 'no-plan', 'invalid-file']);
/** The others would meet it too. */
const FATAL: ReadonlySet<ErrorCode> = new Set(['internal', 'engine', 'invalid-data', 'missing-file', 'checksum']);

/** Links that end are known to have ended: beats would tell nothing, and take most of the time. */
const NEVER_MS = 1e9;
/** Values, where a chunk of a live system would be fewer as one value stands for many. */
const LEAST_CHUNK = 4096;
/** Of a small model that stands for a large one: enough for a deadline to see that a tensor is on its way. */
const MOST_CHUNKS = 16;
/** Chunks of a live system that go as one where only times count. */
const MERGED_CHUNKS = 4;

/** Told, after each commit, which part of its samples an arm has learnt. */
export type TellPart = (part: number) => void;

/** Trains one arm in virtual time. What makes it impossible is its outcome: the others go on. */
export async function runArm(task: ArmTask, workbench: Workbench, tell: TellPart = () => undefined): Promise<BenchArm> {
  const { arm, seed, knob } = task;
  const { name, settings } = arm;
  try {
    if (arm.refusal !== undefined) throw new LongtailError(arm.refusal, { code: 'usage' });
    return { name, settings, seed, knob, outcome: await train(task, workbench, tell) };
  } catch (error) {
    const { code, message } = LongtailError.from(error);
    if (FATAL.has(code)) throw error;
    return { name, settings, seed, knob, outcome: { status: REFUSALS.has(code) ? 'refused' : 'failed', reason: message } };
  }
}

/** Machines, and their links as the seed draws them, for the result. */
export function described(task: ArmTask): { readonly nodes: readonly BenchNode[]; readonly links: BenchLinks } {
  const { machines } = drawnFor(task, 1);
  return { nodes: machines.map(({ bench }) => bench), links: { seed: task.seed, knob: task.knob, links: machines.map(({ link }) => link) } };
}

async function train(task: ArmTask, workbench: Workbench, tell: TellPart): Promise<BenchOutcome> {
  const { scenario, arm, seed, mode } = task;
  // While data are opened. A machine has one task at a time.
  if (mode === 'virtual') workbench.threads.begin(scenario.fleet.machines.reduce((sum, { count }) => sum + count, 0));
  const opened = await workbench.open(seeded(arm, seed));
  const like = likeness(task, opened);
  const fleet = drawnFor(task, like.flops * opened.flopsPerSample);
  const job = staffed(opened.job, arm, fleet);
  const profile = grown(opened.profile, like);
  const { model, standsFor, arithmetic } = mode === 'timing' ? timed(profile, opened) : { model: await workbench.model({ ...opened, job }), standsFor: largerBy(like), arithmetic: wasmArithmetic };
  const samples = samplesOf(job, opened);
  const evaluation = new Evaluation(mode === 'timing' ? 0 : scenario.evaluation.points, samples);
  const tally = new Tally();
  const outcome = await simulate({
    job,
    model,
    standsFor,
    linksKnown: true,
    fleet: fleet.machines.flatMap(({ worker }) => (worker === undefined ? [] : { ...worker, taskMs: task.taskMs })),
    churn: fleet.machines.flatMap(({ faults }) => faults),
    seed,
    chunkLength: chunkLengthOf(model.layout.length, parametersOf(profile), mode),
    heartbeatMs: NEVER_MS,
    checksums: false,
    serverBitsPerSecond: Math.min(fleet.server.up, fleet.server.down),
    peerLink: directLinks(fleet),
    limitMs: scenario.limit,
    arithmetic,
    layout: layoutBy(arm.planner, profile, fleet, seed),
    ...(arm.planner === 'equal' && { shares: equalShares, watch: withEqualSteps }),
    account: true,
    keeps(event, moved) {
      tally.hear(event, moved);
      if (event.body.event === 'commit') tell(event.body.samplesApplied / samples);
      return event.body.event !== 'contribution';
    },
    committed: evaluation.committed,
  });
  if (outcome.verdict.status !== 'succeeded') throw failureOf(outcome, tally);
  const loss = mode === 'timing' ? [] : tally.curve(await evaluation.losses(model, scenario.evaluation.samples));
  const nodes = fleet.machines.map(({ bench }) => bench);
  const figures = figuresOf({ tally, account: outcome.account!, nodes, loss, targetLoss: mode === 'timing' ? undefined : scenario.targetLoss, prices: scenario.prices });
  return { ...figures, bottleneck: bottleneckOf(figures, fleet, tally) };
}

/** With what work came to nothing by: arithmetic that fails ends workers, and a run that lacks them says no more. */
function failureOf({ verdict }: Outcome, { lostMostlyBy }: Tally): LongtailError {
  const { code, message, hint, where } = LongtailError.fromWire(verdict.error ?? { code: 'timeout', message: verdict.reason, hint: '', where: '' });
  return new LongtailError(lostMostlyBy === undefined ? message : `${message}; work came to nothing, mostly: ${lostMostlyBy}`, { code, hint, where });
}

/** Values that a chunk has, of `length` that stand for `parameters`. */
export function chunkLengthOf(length: number, parameters: number, mode: BenchMode): number {
  const live = ((mode === 'timing' ? MERGED_CHUNKS : 1) * CHUNK_LENGTH * length) / parameters;
  return Math.ceil(Math.max(live, Math.min(LEAST_CHUNK, length / MOST_CHUNKS)));
}

/** Blocks as large and as slow as the profile's, and no arithmetic. */
function timed({ blocks }: ModelProfile, { data }: OpenedJob): ReturnType<typeof timingModel> {
  return timingModel({ blocks, trainSamples: data.length('train') });
}

function largerBy({ parameters }: Likeness): Scenario['standsFor'] {
  return parameters === 1 ? undefined : ({ kind, length }) => (isActivation(kind) ? length : Math.round(length * parameters));
}

/** That a run learns. */
export function samplesOf({ train }: Job, { data }: OpenedJob): number {
  return Math.min(train.maxSamples ?? Infinity, train.epochs * data.length('train'));
}

function directLinks({ peers }: DrawnFleet): Scenario['peerLink'] {
  const links = new Map(peers.map(({ between: [a, b], bitsPerSecond, roundTripMs }) => [[a, b].sort().join('\n'), { bitsPerSecond, rttMs: roundTripMs }]));
  return (a, b) => links.get([a, b].sort().join('\n'));
}

export function likeness({ scenario }: ArmTask, { profile, flopsPerSample }: OpenedJob): Likeness {
  return likenessOf(scenario.standsFor, parametersOf(profile), flopsPerSample);
}

export function drawnFor({ scenario, seed, traces }: ArmTask, flopsPerSample: number): DrawnFleet {
  const stays = (path: string) => parseTrace(traces[path]!, path);
  return drawFleet(scenario.fleet, { seed, flopsPerSample, untilMs: scenario.limit, stays });
}

/** The seed of a run is that of its training too. */
export function seeded({ job }: ScenarioArm, seed: number): JobDocument {
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
