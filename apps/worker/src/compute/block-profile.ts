import { createHash } from 'node:crypto';
import type { BlobCache, BlockTiming, DataSignature, DeviceTimings, Engine, HostTensor, Job, Stage } from '@longtail/core';
import { createModel, stageModel } from '@longtail/engine';
import type { Model, StageModel } from '@longtail/engine';
import type { Interrupts } from './interrupts.js';
import { leastPassBytes, stagesNeed } from './memory.js';
import { randomInputs, randomTargets, randomTensor } from './random-tensor.js';

/** All measurements together, warm-up aside. */
const BUDGET_MS = 3000;
const MOST_ROUNDS = 20;
/** Raised when the way of measuring changes: older figures are then measured again. */
const CACHE_VERSION = 6;
/** What was measured longer ago is held against a short look: the device may share its machine with others now, or have done so then. */
const FRESH_MS = 60_000;
const LOOK_MS = 200;
/** What others take so many times as long as says more of a busy machine than of the device: it is timed again. */
const AGREEING = 2;
/** At most so often, or for so many times what was meant for it. */
const LOOKS = 3;
/** Where the look takes less than this of what is known, it was busy with something else when it was measured. */
const BELIEVED = 0.8;

export interface ProfileOptions {
  readonly engine: Engine;
  /** Undefined: all of the machine's. */
  readonly threads: number | undefined;
  /** Fraction of the device's speed that timings are for. */
  readonly pace: number;
  readonly job: Job;
  readonly signature: DataSignature;
  readonly microbatches: readonly number[];
  /** What the owner lets models take. */
  readonly memoryBytes: number;
  readonly cache: BlobCache;
  /** Wall clock: figures are shared with other processes. */
  readonly nowMs: () => number;
  readonly interrupts: Interrupts;
  onBlock(done: number, total: number): void;
}

/** The last two where only the input is kept between them; 0: not measured. */
type TimedPass = 'forwardMs' | 'backwardMs' | 'inputGradientMs' | 'leanForwardMs' | 'repeatingBackwardMs';
/** `forwardCallMs` and `backwardCallMs` come of several of these. */
type Figures = Readonly<Record<TimedPass, number>> & Pick<BlockTiming, 'stashBytes'>;
type Calls = Pick<BlockTiming, 'forwardCallMs' | 'backwardCallMs'>;
type Known = Map<number, Figures>;

/** A block as a stage of its own, and what names equal ones. */
interface Candidate {
  readonly name: string;
  readonly stage: StageModel;
  readonly signature: string;
}

/**
 * What each block costs at each microbatch size, and what of that is the call of a stage. Blocks of one kind and shape are
 * measured once, and not again on the same device: a look at the costliest shows how fast it is now, unless it was busy
 * then. Each is built alone and gone before the next. Throws `CallAborted`.
 */
export async function profileBlocks(options: ProfileOptions): Promise<Omit<DeviceTimings, 'handOverMs'>> {
  const { job, signature, microbatches, memoryBytes, interrupts, onBlock, pace } = options;
  const model = await createModel(job.model, { ...signature, loss: job.loss });
  const all = candidates(job, model);
  const blocks = all.filter(({ stage }) => fits(stage, Math.min(...microbatches), memoryBytes));
  const pair = pairOf(model, all);
  const kinds = new Map([...blocks, ...(pair ? [pair.both] : [])].map((candidate) => [candidate.signature, candidate.stage]));
  const budgetMs = BUDGET_MS / (kinds.size * microbatches.length);
  const figures = await recalled(options, kinds);
  let cached = true;
  const complete = async ({ stage, signature: kind }: Candidate): Promise<void> => {
    interrupts.throwIfAborted();
    const known = figures.get(kind)!;
    const missing = microbatches.filter((size) => !known.has(size) && fits(stage, size, memoryBytes));
    if (missing.length === 0) return;
    cached = false;
    const repeating = job.cluster.recompute === 'never' ? [] : missing.filter((size) => fits(stage, size, memoryBytes, 2));
    for (const [size, measured] of await measure(options, stage, missing, budgetMs, repeating)) {
      known.set(size, measured);
      await remember(options, kind, size, measured);
    }
  };
  for (const [i, block] of blocks.entries()) {
    await complete(block);
    const done = i + 1;
    if (done === blocks.length && pair !== undefined) await complete(pair.both);
    onBlock(done, blocks.length);
  }
  const calls = new Map(microbatches.map((size) => [size, callsOf(figures, pair, size)]));
  const timings = blocks.flatMap(({ name: block, signature: kind }) =>
    microbatches.flatMap((microbatch) => {
      const known = figures.get(kind)!.get(microbatch);
      return known === undefined ? [] : [{ block, microbatch, ...paced({ ...known, ...calls.get(microbatch)! }, pace) }];
    }),
  );
  return { timings, untimed: all.length - blocks.length, cached };
}

function candidates(job: Job, model: Model): Candidate[] {
  return model.blocks.map(({ name }, i) => {
    const stage = stageModel(model, { start: i, end: i + 1 });
    return { name, stage, signature: kindOf(job, name, stage) };
  });
}

/** Two blocks from the middle of the model, apart and as one stage. */
interface Pair {
  readonly both: Candidate;
  readonly apart: readonly Candidate[];
}

function pairOf(model: Model, blocks: readonly Candidate[]): Pair | undefined {
  if (blocks.length < 2) return undefined;
  const start = Math.max(0, (blocks.length >> 1) - 1);
  const apart = blocks.slice(start, start + 2);
  const stage = stageModel(model, { start, end: start + 2 });
  return { apart, both: { name: '', stage, signature: JSON.stringify(apart.map(({ signature }) => signature)) } };
}

/** What two blocks take less as one stage than they take apart, but no more than the cheapest block of all. */
function callsOf(figures: ReadonlyMap<string, Known>, pair: Pair | undefined, size: number): Calls {
  const all = [...figures.values()].flatMap((known) => known.get(size) ?? []);
  const together = pair && figures.get(pair.both.signature)?.get(size);
  const apart = pair?.apart.flatMap(({ signature }) => figures.get(signature)?.get(size) ?? []) ?? [];
  const saved = (key: 'forwardMs' | 'backwardMs'): number => {
    if (together === undefined || apart.length < 2) return 0;
    const less = apart.reduce((sum, figure) => sum + figure[key], 0) - together[key];
    return Math.min(Math.max(0, less), ...all.map((figure) => figure[key]));
  };
  return { forwardCallMs: saved('forwardMs'), backwardCallMs: saved('backwardMs') };
}

/**
 * Blocks with the same signature do the same work. In models of ours that is so for blocks that differ in their number only
 * (`layer0`, `layer7`); what a file's blocks do is known by the file's content alone.
 */
function kindOf({ model, loss, files = [] }: Job, name: string, { layout, inputShape, outputShape, isFirst, isLast }: StageModel): string {
  const imported = model.type === 'keras' || model.type === 'module';
  const content = imported ? files.filter((file) => file.name.startsWith('model/')).map(({ sha256 }) => sha256) : [];
  const kind = imported ? name : name.replace(/\d+$/, '');
  const sizes = 'heads' in model ? { heads: model.heads } : 'kernel' in model ? { kernel: model.kernel, padding: model.padding, pool: model.pool } : {};
  const shapes = layout.slots.map((slot) => [slot.shape, slot.trainable]);
  return JSON.stringify([model.type, content, kind, sizes, shapes, inputShape, outputShape, isFirst, isLast && loss]);
}

/** So many of the stage at once. */
function fits(stage: StageModel, microbatch: number, memoryBytes: number, count = 1): boolean {
  const use = { microbatch, inFlight: count, recompute: false };
  const stages = Array.from({ length: count }, () => stage);
  const passes = stages.map(() => leastPassBytes(stage, microbatch, false));
  return Object.values(stagesNeed(stages, use, passes)).reduce((sum, bytes) => sum + bytes, 0) <= memoryBytes;
}

/** What is in the cache. */
interface Remembered {
  readonly figures: Figures;
  readonly measuredAtMs: number;
}

/** By kind and size, at full pace: what was measured before, as far as it still holds, and brought to the speed of now. */
async function recalled(options: ProfileOptions, kinds: ReadonlyMap<string, StageModel>): Promise<ReadonlyMap<string, Known>> {
  const { cache, microbatches, memoryBytes, nowMs } = options;
  const figures = new Map([...kinds.keys()].map((kind) => [kind, new Map<number, Figures>()]));
  let costliest: { readonly stage: StageModel; readonly size: number; readonly ms: number } | undefined;
  let oldestMs = Infinity;
  for (const [kind, stage] of kinds) {
    for (const size of microbatches) {
      const bytes = await cache.get(cacheKey(options, kind, size));
      if (bytes === undefined || !fits(stage, size, memoryBytes)) continue;
      const { figures: known, measuredAtMs } = JSON.parse(new TextDecoder().decode(bytes)) as Remembered;
      figures.get(kind)!.set(size, known);
      oldestMs = Math.min(oldestMs, measuredAtMs);
      if (passMs(known) > (costliest?.ms ?? 0)) costliest = { stage, size, ms: passMs(known) };
    }
  }
  if (costliest === undefined || nowMs() < oldestMs + FRESH_MS) return figures;
  let slower = Infinity;
  for (let look = 0; look < LOOKS && slower > AGREEING; look++) {
    const measured = await measure(options, costliest.stage, [costliest.size], LOOK_MS);
    slower = Math.min(slower, passMs(measured.get(costliest.size)!) / costliest.ms);
  }
  for (const [kind, known] of figures) {
    if (slower < BELIEVED) known.clear();
    for (const [size, before] of known) {
      known.set(size, scaled(before, slower));
      await remember(options, kind, size, known.get(size)!);
    }
  }
  return figures;
}

async function remember(options: ProfileOptions, kind: string, microbatch: number, figures: Figures): Promise<void> {
  const { job, cache, nowMs } = options;
  // A module that nobody has digested may change between runs.
  const known = job.model.type !== 'module' || (job.files ?? []).some((file) => file.name.startsWith('model/'));
  const entry: Remembered = { figures, measuredAtMs: nowMs() };
  if (known) await cache.put(cacheKey(options, kind, microbatch), new TextEncoder().encode(JSON.stringify(entry)));
}

function cacheKey({ engine, threads }: ProfileOptions, kind: string, microbatch: number): string {
  const { name, description } = engine.info;
  const subject = JSON.stringify([CACHE_VERSION, name, description, threads ?? 'all', kind, microbatch]);
  return `profile-${createHash('sha256').update(subject).digest('hex')}`;
}

function passMs({ forwardMs, backwardMs }: Figures): number {
  return forwardMs + backwardMs;
}

/** `repeating`: the sizes at which it is timed, in turn, as one that keeps its input alone too. */
async function measure(
  { engine, job, signature, interrupts }: ProfileOptions,
  { range, ...model }: StageModel,
  microbatches: readonly number[],
  budgetMs: number,
  repeating: readonly number[] = [],
): Promise<ReadonlyMap<number, Figures>> {
  const stages: Stage[] = [];
  const build = async (recompute: boolean): Promise<Stage> => {
    const stage = await engine.build(job.model, range, { loss: job.loss, data: signature, seed: job.train.seed, recompute });
    stages.push(stage);
    return stage;
  };
  try {
    const stage = await build(false);
    const repeats = repeating.length > 0 ? await build(true) : undefined;
    const figures = new Map<number, Figures>();
    for (const samples of microbatches) {
      const input = stage.isFirst ? randomInputs(signature, samples) : randomTensor([samples, ...model.inputShape]);
      const targets = stage.isLast ? randomTargets(signature, samples) : undefined;
      const outputGradient = stage.isLast ? undefined : randomTensor([samples, ...model.outputShape]);
      const passes = { stage, repeats: repeating.includes(samples) ? repeats : undefined, input, targets, outputGradient };
      await round(passes); // traces and compiles
      const rounds: Figures[] = [];
      const startMs = performance.now();
      const within = (ms: number) => performance.now() - startMs < ms;
      while (rounds.length < 2 || (rounds.length < MOST_ROUNDS && (within(budgetMs) || (!agree(rounds) && within(LOOKS * budgetMs))))) {
        interrupts.throwIfAborted();
        rounds.push(await round(passes));
      }
      figures.set(samples, fastest(rounds));
    }
    return figures;
  } finally {
    for (const stage of stages) await stage.dispose();
  }
}

interface Passes {
  readonly stage: Stage;
  /** The same, but for what it keeps between its passes. */
  readonly repeats: Stage | undefined;
  readonly input: HostTensor;
  readonly targets: HostTensor | undefined;
  readonly outputGradient: HostTensor | undefined;
}

/** Forward and backward, then forward and backward in halves; forward and backward again where only the input is kept. */
async function round({ stage, repeats, input, targets, outputGradient }: Passes): Promise<Figures> {
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const startMs = performance.now();
    await work();
    return performance.now() - startMs;
  };
  const forwardMs = await timed(() => stage.forward(0, input, targets));
  const { stashBytes } = stage;
  const backwardMs = await timed(() => stage.backward(0, outputGradient));
  await timed(() => stage.forward(0, input, targets));
  const inputGradientMs = await timed(() => stage.backwardInput(0, outputGradient));
  await stage.backwardWeights(0);
  const figures = { forwardMs, backwardMs, inputGradientMs, stashBytes };
  if (repeats === undefined) return { ...figures, leanForwardMs: 0, repeatingBackwardMs: 0 };
  const leanForwardMs = await timed(() => repeats.forward(0, input, targets));
  return { ...figures, leanForwardMs, repeatingBackwardMs: await timed(() => repeats.backward(0, outputGradient)) };
}

/** Whether each pass was as fast twice. */
function agree(rounds: readonly Figures[]): boolean {
  return (['forwardMs', 'backwardMs'] as const).every((key) => {
    const [first, second] = rounds.map((figures) => figures[key]).sort((a, b) => a - b);
    return second! <= AGREEING * first!;
  });
}

/** What slows a pass down is other work on the machine. */
function fastest(rounds: readonly Figures[]): Figures {
  const least = (key: TimedPass): number => Math.min(...rounds.map((figures) => figures[key]));
  return { ...ofPasses(least), stashBytes: rounds[0]!.stashBytes };
}

/** The pacer stretches every pass to 1/pace of what it takes without rests: that is how it is measured here. */
function paced({ stashBytes, ...figures }: Figures & Calls, pace: number): Omit<BlockTiming, 'block' | 'microbatch'> {
  const { forwardMs, backwardMs, inputGradientMs, leanForwardMs, repeatingBackwardMs, forwardCallMs, backwardCallMs } = figures;
  const recomputeMs = Math.max(0, leanForwardMs + repeatingBackwardMs - forwardMs - backwardMs);
  return {
    forwardMs: forwardMs / pace,
    backwardMs: backwardMs / pace,
    inputGradientMs: inputGradientMs / pace,
    recomputeMs: recomputeMs / pace,
    forwardCallMs: forwardCallMs / pace,
    backwardCallMs: backwardCallMs / pace,
    stashBytes,
  };
}

function scaled(figures: Figures, by: number): Figures {
  return { ...ofPasses((key) => by * figures[key]), stashBytes: figures.stashBytes };
}

function ofPasses(of: (pass: TimedPass) => number): Record<TimedPass, number> {
  return {
    forwardMs: of('forwardMs'),
    backwardMs: of('backwardMs'),
    inputGradientMs: of('inputGradientMs'),
    leanForwardMs: of('leanForwardMs'),
    repeatingBackwardMs: of('repeatingBackwardMs'),
  };
}
