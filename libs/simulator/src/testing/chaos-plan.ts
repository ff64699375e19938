import { createRng, type CodecName, type Job, type JobStage, type Rng } from '@longtail/core';
import type { Fault, Tampering } from '../faults.js';
import type { SimulatedWorker } from '../scenario.js';
import { job } from './scenarios.js';

/** A whole job, its fleet and what befalls it: pure data, drawn from a seed. */
export interface ChaosPlan {
  readonly seed: number;
  /** `counts`: parameters that count how often each sample was applied; `learns`: a small model under the job's own optimizer. */
  readonly model: 'counts' | 'learns';
  readonly job: Job;
  readonly fleet: readonly SimulatedWorker[];
  readonly faults: readonly Fault[];
  readonly heartbeatMs: number;
  readonly chunkLength: number;
}

const EPOCHS = 3;
export const SOLO_SAMPLES = 90;
export const PIPELINE_SAMPLES = 48;
export const BLOCKS = 4;

const STRATEGIES: readonly Partial<Job['sync']>[] = [
  { strategy: 'bsp' },
  { strategy: 'bsp', quorum: 0.5, graceMs: 20 },
  { strategy: 'ssp', staleness: 0 },
  { strategy: 'ssp', staleness: 2 },
  { strategy: 'asp' },
  { strategy: 'diloco', localSteps: 3 },
  { strategy: 'diloco', localSteps: 4, quorum: 0.75, graceMs: 50 },
  { strategy: 'sparse-diloco', localSteps: 4 },
  { strategy: 'streaming-diloco', localSteps: 3, fragments: 1, mixing: 0 },
  { strategy: 'streaming-diloco', localSteps: 4, fragments: 3, mixing: 0, quorum: 0.75, graceMs: 50 },
  { strategy: 'ssp', staleness: 1, localSteps: 3 },
  { strategy: 'asp', localSteps: 3 },
  { strategy: 'auto' },
];
/** Of learning models too. */
const MIXED: Partial<Job['sync']> = { strategy: 'streaming-diloco', localSteps: 4, fragments: 3 };
/** Of what pipelines take. */
const STRATEGIES_OF_STAGES = STRATEGIES.filter(({ strategy }) => strategy !== 'streaming-diloco' && strategy !== 'auto');

const CODECS: readonly CodecName[] = ['fp32', 'fp16', 'bf16', 'int8', 'int4', 'int2', 'sign', 'top-k'];
const OPTIMIZERS: readonly Job['train']['optimizer'][] = [
  { type: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 },
  { type: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 0.01 },
  { type: 'adam', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.01, decoupled: true },
];

/** Solo workers that join, leave, break and come back; the first one stays, so that most runs succeed. */
export function soloPlan(seed: number): ChaosPlan {
  const rng = createRng(`solo/${seed}`);
  const model = rng.below(2) === 0 ? 'counts' : 'learns';
  const workers = Array.from({ length: 1 + rng.below(4) }, (_, i) => `w${i}`);
  const recipe = drawJob(rng, model, model === 'counts' ? STRATEGIES : [...STRATEGIES, MIXED], { batch: 9 + rng.below(18) });
  return {
    seed,
    model,
    job: recipe,
    fleet: drawFleet(rng, workers),
    faults: drawFaults(rng, workers, recipe),
    heartbeatMs: pick(rng, [300, 2000]),
    chunkLength: model === 'counts' ? 32 : 8,
  };
}

/** One or two pipelines, some with replicas or stages in turn, perhaps a solo worker beside them, and spares. */
export function pipelinePlan(seed: number): ChaosPlan {
  const rng = createRng(`pipelines/${seed}`);
  const model = rng.below(2) === 0 ? 'counts' : 'learns';
  const workers = Array.from({ length: 8 }, (_, i) => `w${i}`);
  const inTurn = rng.below(3) === 0;
  const layout = drawLayout(rng, inTurn);
  const cluster: Partial<Job['cluster']> = {
    layout,
    minWorkers: new Set(layout.flat().flatMap((stage) => stage.workers)).size,
    schedule: inTurn ? 'interleaved' : pick(rng, ['gpipe', '1f1b', 'capped-1f1b', 'zero-bubble'] as const),
    microbatch: 2 + rng.below(6),
  };
  const recipe = drawJob(rng, model, STRATEGIES_OF_STAGES, { batch: 8 + rng.below(10), cluster });
  return {
    seed,
    model,
    job: recipe,
    fleet: drawFleet(rng, workers),
    faults: drawFaults(rng, workers.slice(0, 7), recipe),
    heartbeatMs: pick(rng, [300, 2000]),
    chunkLength: model === 'counts' ? 32 : 8,
  };
}

function drawLayout(rng: Rng, inTurn: boolean): readonly (readonly JobStage[])[] {
  const turns = (names: readonly string[], blocks: readonly number[]) => blocks.map((count, i) => ({ workers: [names[i % names.length]!], blocks: count }));
  const withReplica = rng.below(4);
  const three = [1, 2, 1].map((blocks, i) => ({ workers: i === withReplica ? [`w${i}`, 'w6'] : [`w${i}`], blocks }));
  const first = inTurn ? turns(['w0', 'w1'], [1, 1, 1, 1]) : three;
  const second = inTurn ? turns(['w3', 'w4'], [1, 1, 2]) : turns(['w3', 'w4'], [1, 3]);
  return pick(rng, [[first], [first, second], [first, second, [{ workers: ['w5'] }]], [first, [{ workers: ['w5'] }]]]);
}

interface JobDraw {
  readonly batch: number;
  readonly cluster?: Partial<Job['cluster']>;
}

function drawJob(rng: Rng, model: ChaosPlan['model'], strategies: readonly Partial<Job['sync']>[], { batch, cluster }: JobDraw): Job {
  const counts = model === 'counts';
  const sync = pick(rng, counts ? strategies.filter(({ strategy }) => strategy !== 'sparse-diloco' && strategy !== 'auto') : strategies);
  const codec = sync.strategy === 'sparse-diloco' ? 'top-k' : pick(rng, counts ? (['fp32'] as const) : CODECS);
  const optimizer = counts ? OPTIMIZERS[0]! : pick(rng, OPTIMIZERS);
  return job({
    train: {
      epochs: EPOCHS,
      batch,
      optimizer,
      learningRate: optimizer.type === 'adam' ? 0.01 : 0.05,
      clipNorm: !counts && rng.below(4) === 0 ? 0.5 : undefined,
      seed: rng.below(1000),
    },
    sync: {
      ...sync,
      minDeadlineMs: 100 + rng.below(400),
      codec,
      ...(codec === 'top-k' ? { topK: { density: 0.25, values: 'int8', selection: 'exact' } as const } : {}),
      maxNorm: counts && rng.below(4) === 0 ? 1e6 : undefined,
    },
    cluster: { waitMs: 6000, ...cluster },
    validation: { everyEpochs: 0.5 + rng.uniform() },
    checkpoint: { everyMs: pick(rng, [20, 200]) },
  });
}

function drawFleet(rng: Rng, names: readonly string[]): readonly SimulatedWorker[] {
  return names.map((name) => ({
    name,
    samplesPerSecond: 50 + rng.below(800),
    overheadMs: rng.uniform(),
    joinAtMs: rng.below(3) === 0 ? rng.below(1500) : 0,
    link: { upBitsPerSecond: 1e5 * (1 + rng.below(100)), downBitsPerSecond: 1e6, rttMs: 1 + rng.below(80) },
    ...(rng.below(3) === 0 ? {} : { peers: pick(rng, ['listens', 'dials'] as const) }),
  }));
}

/** Most come in the first two seconds, when everybody is at work. */
function drawFaults(rng: Rng, workers: readonly string[], recipe: Job): readonly Fault[] {
  return Array.from({ length: rng.below(7) }, () => drawFault(rng, pick(rng, workers), 150 + rng.below(pick(rng, [600, 2500])), recipe));
}

function drawFault(rng: Rng, worker: string, atMs: number, { sync }: Job): Fault {
  const stays = worker === 'w0';
  const at = { worker, atMs };
  const forMs = rng.below(pick(rng, [300, 9000]));
  const kinds: readonly (() => Fault)[] = [
    () => ({ kind: 'cut', ...at }),
    () => ({ kind: 'stall', ...at, forMs }),
    () => ({ kind: 'partition', ...at, forMs }),
    () => ({ kind: 'freeze', ...at, forMs: pick(rng, [forMs, 60_000]) }),
    () => ({ kind: 'restart', ...at, forMs }),
    () => ({ kind: stays ? 'cut' : 'kill', ...at }),
    () => ({ kind: stays ? 'cut' : 'leave', ...at }),
    () => ({ kind: 'pause', ...at, forMs }),
    () => ({ kind: stays ? 'cut' : pick(rng, ['finish', 'drain'] as const), ...at }),
    () => ({ kind: 'cut-peers', ...at }),
    () => ({ kind: 'slow', ...at, forMs: Math.min(3000, forMs), factor: 2 + rng.below(100) }),
    () => ({ kind: 'slow', ...at, forMs: 500, factor: 1e4 }),
    () => ({ kind: 'fail', ...at }),
    () => ({ kind: 'clock-jump', ...at, byMs: pick(rng, [50, 60_000, 3_600_000]) }),
    () => ({ kind: 'message', ...at, how: pick(rng, ['twice', 'late'] as const) }),
    () => ({ kind: 'tamper-down', ...at, how: pick(rng, ['duplicate', 'corrupt', 'truncated', 'misshapen'] as const) }),
    ...new Array<() => Fault>(5).fill(() => ({ kind: 'tamper', worker, round: 1 + rng.below(12), chunk: rng.below(3), how: pick(rng, tamperings(sync)) })),
    () => serverFault(rng, at, stays),
    () => serverFault(rng, at, stays),
  ];
  return pick(rng, kinds)();
}

function serverFault(rng: Rng, at: { readonly worker: string; readonly atMs: number }, stays: boolean): Fault {
  const { atMs } = at;
  switch (rng.below(7)) {
    case 0:
      return stays ? { kind: 'cut', ...at } : { kind: 'poison', ...at };
    case 1:
      return { kind: 'cancel', atMs: 2 * atMs };
    case 2:
      return { kind: 'disk-full', atMs: 2 * atMs, what: pick(rng, ['log', 'checkpoint', 'log', 'model'] as const) };
    case 3:
    case 4:
    case 5:
      return { kind: 'kill-server', atMs, forMs: 10 + rng.below(3000) };
    default:
      return { kind: 'server-clock-jump', atMs, byMs: pick(rng, [50, 60_000, 3_600_000]) };
  }
}

/** Those that are found out, whatever the codec. */
function tamperings({ codec, maxNorm }: Job['sync']): readonly Tampering[] {
  const bytes: readonly Tampering[] = ['fp32', 'fp16', 'bf16'].includes(codec) ? ['nan'] : [];
  const norms: readonly Tampering[] = codec === 'fp32' && maxNorm !== undefined ? ['huge', 'huge', 'huge'] : [];
  return [...bytes, ...norms, 'duplicate', 'late', 'corrupt', 'truncated', 'misshapen', 'stale', 'wrong-task', 'wrong-run', 'wrong-codec', 'wrong-worker'];
}

function pick<T>(rng: Rng, list: readonly T[]): T {
  return list[rng.below(list.length)]!;
}
