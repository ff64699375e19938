import { createHash } from 'node:crypto';
import type { BlobCache, BlockTiming, DataSignature, Engine, HostTensor, Job, Stage } from '@longtail/core';
import { createModel, stageModel } from '@longtail/engine';
import type { Model, StageModel } from '@longtail/engine';
import type { Interrupts } from './interrupts.js';
import { leastPassBytes, stagesNeed } from './memory.js';
import { randomInputs, randomTargets, randomTensor } from './random-tensor.js';

/** All measurements together, warm-up aside. */
const BUDGET_MS = 3000;
const MOST_ROUNDS = 15;
/** Raised when the way of measuring changes: older figures are then measured again. */
const CACHE_VERSION = 1;

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
 * What each block costs at each microbatch size. Blocks of one kind and shape are measured once, and never again on the same
 * device; each is built alone and gone before the next. Throws `CallAborted`.
 */
export async function profileBlocks(options: ProfileOptions): Promise<readonly BlockTiming[]> {
  const { job, signature, microbatches, memoryBytes, interrupts, onBlock } = options;
  const model = await createModel(job.model, { ...signature, loss: job.loss });
  const blocks = candidates(job, model).filter(({ stage }) => fits(stage, microbatches, memoryBytes));
  const kinds = new Map(blocks.map((block) => [block.signature, block]));
  const budgetMs = BUDGET_MS / (kinds.size * microbatches.length);
  const figures = new Map<string, ReadonlyMap<number, Figures>>();
  const timings: BlockTiming[] = [];
  for (const [done, { name, signature: kind, stage }] of blocks.entries()) {
    interrupts.throwIfAborted();
    if (!figures.has(kind)) figures.set(kind, await cached(options, kind, (missing) => measure(options, stage, missing, budgetMs)));
    for (const [microbatch, at] of figures.get(kind)!) timings.push({ block: name, microbatch, ...paced(at, options.pace) });
    onBlock(done + 1, blocks.length);
  }
  return timings;
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

function fits(stage: StageModel, microbatches: readonly number[], memoryBytes: number): boolean {
  const microbatch = Math.min(...microbatches);
  const use = { microbatch, inFlight: 1, recompute: false };
  return Object.values(stagesNeed([stage], use, [leastPassBytes(stage, microbatch, false)])).reduce((sum, bytes) => sum + bytes, 0) <= memoryBytes;
}

/** Figures at full pace: what is in the cache, the rest measured and put there. */
async function cached(
  { engine, threads, microbatches, cache, job }: ProfileOptions,
  kind: string,
  measureAt: (microbatches: readonly number[]) => Promise<ReadonlyMap<number, Figures>>,
): Promise<ReadonlyMap<number, Figures>> {
  const key = (microbatch: number): string => {
    const { name, description } = engine.info;
    const subject = JSON.stringify([CACHE_VERSION, name, description, threads ?? 'all', kind, microbatch]);
    return `profile-${createHash('sha256').update(subject).digest('hex')}`;
  };
  const found = new Map<number, Figures>();
  for (const microbatch of microbatches) {
    const bytes = await cache.get(key(microbatch));
    if (bytes !== undefined) found.set(microbatch, JSON.parse(new TextDecoder().decode(bytes)) as Figures);
  }
  const missing = microbatches.filter((microbatch) => !found.has(microbatch));
  if (missing.length === 0) return found;
  // A module that nobody has digested may change between runs.
  const known = job.model.type !== 'module' || (job.files ?? []).some((file) => file.name.startsWith('model/'));
  for (const [microbatch, figures] of await measureAt(missing)) {
    found.set(microbatch, figures);
    if (known) await cache.put(key(microbatch), new TextEncoder().encode(JSON.stringify(figures)));
  }
  return new Map(microbatches.map((microbatch) => [microbatch, found.get(microbatch)!]));
}

async function measure(
  { engine, job, signature, interrupts }: ProfileOptions,
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
      const passes = { stage, input, targets, outputGradient };
      await round(passes); // traces and compiles
      const rounds: Figures[] = [];
      const startMs = performance.now();
      while (rounds.length === 0 || (rounds.length < MOST_ROUNDS && performance.now() - startMs < budgetMs)) {
        interrupts.throwIfAborted();
        rounds.push(await round(passes));
      }
      figures.set(samples, medians(rounds));
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
}

/** Forward and backward, then forward and backward in halves. */
async function round({ stage, input, targets, outputGradient }: Passes): Promise<Figures> {
  const forwardMs = await timed(() => stage.forward(0, input, targets));
  const { stashBytes } = stage;
  const backwardMs = await timed(() => stage.backward(0, outputGradient));
  await stage.forward(0, input, targets);
  const inputGradientMs = await timed(() => stage.backwardInput(0, outputGradient));
  await stage.backwardWeights(0);
  return { forwardMs, backwardMs, inputGradientMs, stashBytes };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

function medians(rounds: readonly Figures[]): Figures {
  const median = (key: keyof Figures): number => rounds.map((figures) => figures[key]).sort((a, b) => a - b)[rounds.length >> 1]!;
  return { forwardMs: median('forwardMs'), backwardMs: median('backwardMs'), inputGradientMs: median('inputGradientMs'), stashBytes: median('stashBytes') };
}

/** The pacer stretches every pass to 1/pace of its time. */
function paced({ forwardMs, backwardMs, inputGradientMs, stashBytes }: Figures, pace: number): Figures {
  return { forwardMs: forwardMs / pace, backwardMs: backwardMs / pace, inputGradientMs: inputGradientMs / pace, stashBytes };
}
