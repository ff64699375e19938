import type {
  BackwardResult,
  BlockRange,
  Dataset,
  DataSignature,
  Engine,
  ForwardResult,
  HostTensor,
  Job,
  ParameterLayout,
  SampleRange,
  Split,
  StageUse,
  StepHyper,
} from '@longtail/core';
import { joinLayouts, localStepsOf, LongtailError, ownStateBytes } from '@longtail/core';
import { SampleOrder } from '@longtail/data';
import { createModel, initialParameters, profileModel, stageModel } from '@longtail/engine';
import type { Model, StageModel } from '@longtail/engine';
import type { EmulatedDevice } from './emulated-device.js';
import { HeldStage } from './held-stage.js';
import type { Interrupts } from './interrupts.js';
import { createLocalOptimizer } from './local-optimizer.js';
import type { LocalOptimizer } from './local-optimizer.js';
import type { PassBytes } from './memory.js';
import { assertFits, estimateOf, leastPassBytes, stagesNeed } from './memory.js';
import type { Pacer } from './pacer.js';
import { StageVector } from './stage-vector.js';
import type { SharedVectors } from './training-session.js';
import type { UndisturbedTimes } from './undisturbed.js';

/** How long the speed is measured, pauses of the throttle included. */
const MEASURE_MS = 400;

export interface StageOptions {
  readonly engine: Engine;
  readonly job: Job;
  /** Of each stage that the worker holds, in order. */
  readonly stages: readonly BlockRange[];
  readonly use: StageUse;
  readonly signature: DataSignature;
  /** Undefined where no stage reads inputs or targets. */
  readonly dataset: Dataset | undefined;
  /** What the owner lets models take. */
  readonly memoryBytes: number;
  readonly pacer: Pacer;
  readonly interrupts: Interrupts;
  readonly emulated?: EmulatedDevice | undefined;
  /** Undefined: the model was not profiled. */
  readonly undisturbed?: UndisturbedTimes | undefined;
}

/** The stages of a run's model that a worker holds, on the device. Calls come one at a time; a pass that has begun is finished. */
export class StageSession {
  readonly shared: SharedVectors;
  /** Of each stage, in order; the shared vectors are laid out as `joinLayouts` of them. */
  readonly layouts: readonly ParameterLayout[];
  /** Counted from a real pass; known once it was measured. */
  memoryBytes = 0;
  private readonly parameters: Float32Array;
  private readonly gradientSum: Float32Array;
  private readonly vectors: readonly StageVector[];
  /** Of each stage, where groups step for themselves: `auto` may choose that after the stages were prepared. */
  private optimizers: readonly LocalOptimizer[] | undefined;

  private constructor(
    private readonly options: StageOptions,
    private readonly held: readonly HeldStage[],
    /** Of the whole model. */
    readonly blocks: number,
    /** What a microbatch takes on each stage, as far as that is known. */
    private passBytes: readonly PassBytes[],
  ) {
    this.layouts = held.map(({ stage }) => stage.layout);
    const layout = joinLayouts(this.layouts);
    const vector = () => new SharedArrayBuffer(layout.length * Float32Array.BYTES_PER_ELEMENT);
    this.shared = { parameters: vector(), gradient: vector(), state: [] };
    this.parameters = new Float32Array(this.shared.parameters);
    this.gradientSum = new Float32Array(this.shared.gradient);
    const namesBefore = (stage: number) => new Set(this.layouts.slice(0, stage).flatMap(({ slots }) => slots.map(({ name }) => name)));
    this.vectors = this.layouts.map((own, stage) => new StageVector(own, layout, namesBefore(stage)));
  }

  /** Throws LongtailError `refused` when the stages need more memory than there is. */
  static async create(options: StageOptions): Promise<StageSession> {
    const { engine, job, stages, use, signature, dataset, memoryBytes, pacer, interrupts, emulated, undisturbed } = options;
    const whole = await createModel(job.model, { ...signature, loss: job.loss });
    const models = stages.map((blocks) => stageModel(whole, blocks));
    const least = models.map((model) => leastPassBytes(model, use.microbatch, use.recompute, estimateOf(whole, model, job)));
    assertFits(nameOf(models, job), stagesNeed(models, use, least, stateBytesOf(job)), memoryBytes);
    const data = dataset && { dataset, order: new SampleOrder(dataset.length('train'), job.train.seed) };
    const around = { signature, data, microbatch: use.microbatch, recompute: use.recompute, pacer, interrupts, emulated };
    const shares = [...workShares(job.name, whole).values()];
    const build = { loss: job.loss, data: signature, seed: job.train.seed, recompute: use.recompute };
    const held: HeldStage[] = [];
    try {
      for (const model of models) {
        const profiled = undisturbed?.(model.range, use.microbatch, use.recompute);
        held.push(new HeldStage(model, await engine.build(job.model, model.range, build), { ...around, profiled, share: shares.slice(model.range.start, model.range.end).reduce((sum, share) => sum + share, 0) }));
      }
      const session = new StageSession(options, held, whole.blocks.length, least);
      if (localStepsOf(job.sync) !== undefined) await session.prepareOptimizers();
      await session.readParameters(session.parameters);
      return session;
    } catch (error) {
      for (const { stage } of held) await stage.dispose();
      throw error;
    }
  }

  /** Warms up, holds what the passes take against the offer, and returns samples a second, through all stages, at the pace in force. */
  async measure(): Promise<number> {
    const { job, use, interrupts } = this.options;
    const taken: PassBytes[] = [];
    for (const stage of this.held) {
      await stage.warmUp((bytes) => {
        taken.push(bytes);
        this.passBytes = taken;
        this.count(stateBytesOf(job));
      });
    }
    const { emulated } = this.options;
    if (emulated !== undefined) {
      await this.dropPasses();
      return emulated.samplesPerSecond / this.held.reduce((sum, { share }) => sum + share, 0);
    }
    let samples = 0;
    const startMs = performance.now();
    while (samples === 0 || performance.now() - startMs < MEASURE_MS) {
      interrupts.throwIfAborted();
      for (const stage of this.held) await stage.measure();
      samples += use.microbatch;
    }
    const seconds = (performance.now() - startMs) / 1000;
    await this.dropPasses();
    return samples / seconds;
  }

  async initialParameters(): Promise<void> {
    const { seed } = this.options.job.train;
    for (const [i, { model }] of this.held.entries()) {
      await this.vectors[i].into(this.parameters, 'stays', async (values) => values.set(initialParameters(model, seed)));
    }
    await this.loadParameters();
  }

  async loadParameters(): Promise<void> {
    for (const [i, { stage }] of this.held.entries()) await stage.writeParameters(this.vectors[i].from(this.parameters));
  }

  async forward(stage: number, microbatch: number, ranges: readonly SampleRange[], input: HostTensor | undefined): Promise<ForwardResult> {
    const { inFlight } = this.options.use;
    const open = this.held.reduce((sum, held) => sum + held.inFlight, 0);
    if (open >= inFlight) {
      throw new LongtailError(`microbatch ${microbatch} would be number ${open + 1} in flight, there is room for ${inFlight}`, {
        code: 'refused',
        hint: 'Prepare the worker for as many as its schedule holds at once.',
      });
    }
    return this.held[stage].forward(microbatch, ranges, input);
  }

  backward(op: 'B' | 'I' | 'W', stage: number, microbatch: number, outputGradient: HostTensor | undefined): Promise<BackwardResult> {
    return this.held[stage].backward(op, microbatch, outputGradient);
  }

  /** `samples` are those that passed through each stage. */
  async takeGradient(): Promise<{ samples: number }> {
    const counts: number[] = [];
    for (const [i, { stage }] of this.held.entries()) {
      const { samples } = await this.vectors[i].into(this.gradientSum, 'is added', (values) => stage.takeGradient(values));
      counts.push(samples);
    }
    if (new Set(counts).size > 1) throw new Error(`unlike numbers of samples passed through the stages: ${counts.join(', ')}`);
    return { samples: counts[0] };
  }

  /** The gradient of what stages share is that of all of them together: they step alike. */
  async stepStages(samples: number, hyper: StepHyper): Promise<{ computeMs: number }> {
    const startMs = performance.now();
    const optimizers = await this.prepareOptimizers();
    await this.options.pacer.run(async () => {
      for (const [i, optimizer] of optimizers.entries()) await optimizer.apply(this.vectors[i].from(this.gradientSum), samples, hyper);
    });
    return { computeMs: performance.now() - startMs };
  }

  async takeMove(): Promise<void> {
    const { parameters, gradientSum: move } = this;
    await this.readParameters(move);
    for (let i = 0; i < move.length; i++) move[i] = parameters[i] - move[i];
  }

  async dropPasses(): Promise<void> {
    for (const stage of this.held) await stage.dropPasses();
  }

  evaluate(stage: number, split: Split, start: number, end: number, input: HostTensor | undefined): Promise<ForwardResult> {
    return this.held[stage].evaluate(split, start, end, input);
  }

  async dispose(): Promise<void> {
    for (const { stage } of this.held) await stage.dispose();
  }

  private async prepareOptimizers(): Promise<readonly LocalOptimizer[]> {
    if (this.optimizers !== undefined) return this.optimizers;
    const { optimizer } = this.options.job.train;
    this.count(ownStateBytes(optimizer));
    const optimizers: LocalOptimizer[] = [];
    for (const { stage } of this.held) optimizers.push(await createLocalOptimizer(stage, optimizer));
    return (this.optimizers = optimizers);
  }

  /** What it takes, with so many bytes of state a parameter. Throws LongtailError `refused` when that is more than is offered. */
  private count(stateBytes: number): void {
    const { job, use, memoryBytes } = this.options;
    const models = this.held.map(({ model }) => model);
    this.memoryBytes = assertFits(nameOf(models, job), stagesNeed(models, use, this.passBytes, stateBytes), memoryBytes);
  }

  private async readParameters(out: Float32Array): Promise<void> {
    for (const [i, { stage }] of this.held.entries()) {
      await this.vectors[i].into(out, 'stays', (values) => stage.readParameters(values));
    }
  }
}

function stateBytesOf({ sync, train }: Job): number {
  return localStepsOf(sync) === undefined ? 0 : ownStateBytes(train.optimizer);
}

/** Of each block, in order. */
export function workShares(name: string, model: Model): ReadonlyMap<string, number> {
  const { blocks } = profileModel(name, model);
  const work = blocks.map(({ forwardFlops, backwardFlops }) => forwardFlops + backwardFlops);
  const all = work.reduce((sum, flops) => sum + flops, 0);
  return new Map(model.blocks.map((block, i) => [block.name, work[i]! / all]));
}

function nameOf(models: readonly StageModel[], { name }: Job): string {
  const ranges = models.map(({ blocks, range }) => {
    const [first, last] = [blocks[0]!.name, blocks.at(-1)!.name];
    return blocks.length === 1 ? `block ${range.start} (${first})` : `blocks ${range.start} to ${range.end - 1} (${first} … ${last})`;
  });
  return `${models.length === 1 ? 'a stage' : `${models.length} stages`} of ${name} with ${ranges.join(' and ')}`;
}
