import { createHash } from 'node:crypto';
import type { BlobCache, BlockTiming, DataSignature, DeviceTimings, Engine, HostTensor, Job, Stage } from '@longtail/core';
import { createModel, stageModel } from '@longtail/engine';
import type { Model, StageModel } from '@longtail/engine';
import type { Interrupts } from './interrupts.js';
import { leastPassBytes, stagesNeed } from './memory.js';
import { randomInputs, randomTargets, randomTensor } from './random-tensor.js';

/** All measurements together, warm-up aside. */
const BUDGET_MS = 3000;
const MOST_ROUNDS = 15;
/** Raised when the way of measuring changes: older figures are then measured again. */
const CACHE_VERSION = 4;
/** What is known already is believed when a short look finds the device no faster than this: it was busy with something else when it was measured. */
const BELIEVED = 0.8;
const LOOK_MS = 200;
/** A paced device rests between passes, after which they take longer: as long as it rests, but no longer than this. */
const MOST_REST_MS = 10;

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
  readonly interrupts: Interrupts;
  onBlock(done: number, total: number): void;
}

type Figures = Omit<BlockTiming, 'block' | 'microbatch'>;

/** A block as a stage of its own, and what names equal ones. */
interface Candidate {
  readonly name: string;
  readonly stage: StageModel;
  readonly signature: string;
}

/**
 * What each block costs at each microbatch size. Blocks of one kind and shape are measured once, and not again on the same
 * device unless a look at the costliest shows that it was busy then; each is built alone and gone before the next. Throws `CallAborted`.
 */
export async function profileBlocks(options: ProfileOptions): Promise<DeviceTimings> {
  const { job, signature, microbatches, memoryBytes, interrupts, onBlock } = options;
  const model = await createModel(job.model, { ...signature, loss: job.loss });
  const blocks = candidates(job, model).filter(({ stage }) => fits(stage, Math.min(...microbatches), memoryBytes));
  const kinds = new Map(blocks.map((block) => [block.signature, block.stage]));
  const budgetMs = BUDGET_MS / (kinds.size * microbatches.length);
  const figures = await recalled(options, kinds);
  const timings: BlockTiming[] = [];
  let cached = true;
  for (const [done, { name, signature: kind, stage }] of blocks.entries()) {
    interrupts.throwIfAborted();
    const sizes = microbatches.filter((size) => fits(stage, size, memoryBytes));
    const known = figures.get(kind)!;
    const missing = sizes.filter((size) => !known.has(size));
    if (missing.length > 0) {
      cached = false;
      for (const [size, measured] of await measure(options, stage, missing, budgetMs)) {
        known.set(size, measured);
        await remember(options, kind, size, measured);
      }
    }
    for (const microbatch of sizes) timings.push({ block: name, microbatch, ...paced(known.get(microbatch)!, options.pace) });
    onBlock(done + 1, blocks.length);
  }
  return { timings, cached };
}

function candidates(job: Job, model: Model): Candidate[] {
  return model.blocks.map(({ name }, i) => {
    const stage = stageModel(model, { start: i, end: i + 1 });
    return { name, stage, signature: kindOf(job, name, stage) };
  });
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

function fits(stage: StageModel, microbatch: number, memoryBytes: number): boolean {
  const use = { microbatch, inFlight: 1, recompute: false };
  return Object.values(stagesNeed([stage], use, [leastPassBytes(stage, microbatch, false)])).reduce((sum, bytes) => sum + bytes, 0) <= memoryBytes;
}

/** By kind and size, at full pace: what was measured before, as far as it still holds. */
async function recalled(options: ProfileOptions, kinds: ReadonlyMap<string, StageModel>): Promise<ReadonlyMap<string, Map<number, Figures>>> {
  const figures = new Map([...kinds.keys()].map((kind) => [kind, new Map<number, Figures>()]));
  let costliest: { readonly stage: StageModel; readonly size: number; readonly ms: number } | undefined;
  for (const [kind, stage] of kinds) {
    for (const size of options.microbatches) {
      const bytes = await options.cache.get(cacheKey(options, kind, size));
      if (bytes === undefined) continue;
      const known = JSON.parse(new TextDecoder().decode(bytes)) as Figures;
      figures.get(kind)!.set(size, known);
      if (fits(stage, size, options.memoryBytes) && passMs(known) > (costliest?.ms ?? 0)) costliest = { stage, size, ms: passMs(known) };
    }
  }
  if (costliest === undefined) return figures;
  const look = await measure(options, costliest.stage, [costliest.size], LOOK_MS);
  if (passMs(look.get(costliest.size)!) < BELIEVED * costliest.ms) for (const known of figures.values()) known.clear();
  return figures;
}

async function remember(options: ProfileOptions, kind: string, microbatch: number, figures: Figures): Promise<void> {
  const { job, cache } = options;
  // A module that nobody has digested may change between runs.
  const known = job.model.type !== 'module' || (job.files ?? []).some((file) => file.name.startsWith('model/'));
  if (known) await cache.put(cacheKey(options, kind, microbatch), new TextEncoder().encode(JSON.stringify(figures)));
}

function cacheKey({ engine, threads, pace }: ProfileOptions, kind: string, microbatch: number): string {
  const { name, description } = engine.info;
  const subject = JSON.stringify([CACHE_VERSION, name, description, threads ?? 'all', pace < 1, kind, microbatch]);
  return `profile-${createHash('sha256').update(subject).digest('hex')}`;
}

function passMs({ forwardMs, backwardMs }: Figures): number {
  return forwardMs + backwardMs;
}

async function measure(
  { engine, job, signature, interrupts, pace }: ProfileOptions,
  { range, ...model }: StageModel,
  microbatches: readonly number[],
  budgetMs: number,
): Promise<ReadonlyMap<number, Figures>> {
  const stage = await engine.build(job.model, range, { loss: job.loss, data: signature, seed: job.train.seed });
  try {
    const figures = new Map<number, Figures>();
    for (const samples of microbatches) {
      const input = stage.isFirst ? randomInputs(signature, samples) : randomTensor([samples, ...model.inputShape]);
      const targets = stage.isLast ? randomTargets(signature, samples) : undefined;
      const outputGradient = stage.isLast ? undefined : randomTensor([samples, ...model.outputShape]);
      const passes = { stage, input, targets, outputGradient, rest: restOf(pace, interrupts) };
      await round(passes); // traces and compiles
      const rounds: Figures[] = [];
      const startMs = performance.now();
      while (rounds.length === 0 || (rounds.length < MOST_ROUNDS && performance.now() - startMs < budgetMs)) {
        interrupts.throwIfAborted();
        rounds.push(await round(passes));
      }
      figures.set(samples, fastest(rounds));
    }
    return figures;
  } finally {
    await stage.dispose();
  }
}

interface Passes {
  readonly stage: Stage;
  readonly input: HostTensor;
  readonly targets: HostTensor | undefined;
  readonly outputGradient: HostTensor | undefined;
  /** Takes the rest behind a pass of so many ms. */
  rest(passMs: number): void;
}

function restOf(pace: number, interrupts: Interrupts): Passes['rest'] {
  return (passMs) => {
    if (pace < 1) interrupts.pause(Math.min(MOST_REST_MS, passMs / pace - passMs));
  };
}

/** Forward and backward, then forward and backward in halves. */
async function round({ stage, input, targets, outputGradient, rest }: Passes): Promise<Figures> {
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const startMs = performance.now();
    await work();
    const passMs = performance.now() - startMs;
    rest(passMs);
    return passMs;
  };
  const forwardMs = await timed(() => stage.forward(0, input, targets));
  const { stashBytes } = stage;
  const backwardMs = await timed(() => stage.backward(0, outputGradient));
  await timed(() => stage.forward(0, input, targets));
  const inputGradientMs = await timed(() => stage.backwardInput(0, outputGradient));
  await stage.backwardWeights(0);
  return { forwardMs, backwardMs, inputGradientMs, stashBytes };
}

/** What slows a pass down is other work on the machine. */
function fastest(rounds: readonly Figures[]): Figures {
  const least = (key: keyof Figures): number => Math.min(...rounds.map((figures) => figures[key]));
  return { forwardMs: least('forwardMs'), backwardMs: least('backwardMs'), inputGradientMs: least('inputGradientMs'), stashBytes: rounds[0]!.stashBytes };
}

/** The pacer stretches every pass to 1/pace of its time. */
function paced({ forwardMs, backwardMs, inputGradientMs, stashBytes }: Figures, pace: number): Figures {
  return { forwardMs: forwardMs / pace, backwardMs: backwardMs / pace, inputGradientMs: inputGradientMs / pace, stashBytes };
}
