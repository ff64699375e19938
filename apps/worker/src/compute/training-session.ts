import type {
  Batch,
  BatchStats,
  ComputeResult,
  Dataset,
  Engine,
  Job,
  LocalStepsRequest,
  LocalStepsResult,
  ParameterLayout,
  SampleRange,
  Split,
  Stage,
  StepHyper,
  VectorRange,
} from '@longtail/core';
import { clippedDivisor, FORWARD_PART, isStateQuantized, localStateCount, localStepsOf, ownStateBytes, stashFactorOf, stepBatchOf, sumOfSquares } from '@longtail/core';
import { SampleOrder } from '@longtail/data';
import { createModel, stageModel } from '@longtail/engine';
import type { EmulatedDevice } from './emulated-device.js';
import type { Interrupts } from './interrupts.js';
import { CallAborted } from './interrupts.js';
import { createLocalOptimizer } from './local-optimizer.js';
import type { LocalOptimizer } from './local-optimizer.js';
import { assertFits, estimateOf, roomFor, wholeNeed } from './memory.js';
import type { Pacer } from './pacer.js';
import { PassPacer } from './pass-pacer.js';
import type { UndisturbedTimes } from './undisturbed.js';

/** Work between two looks at the abort flag should not take longer than this. */
const SLICE_TARGET_MS = 120;
const MIN_SLICE = 8;
const MAX_SLICE = 512;
/** A step is one call, which saves the gradient's way out of the engine and back, where it takes no longer than so many slices: about a second. */
const STEP_SLICES = 8;
const PROBE_SAMPLES = 16;
/** How long the speed is measured, pauses of the throttle included: a first guess, which the rounds themselves correct. */
const MEASURE_MS = 100;
const MIN_PROGRESS_GAP_MS = 200;

export interface SessionOptions {
  readonly engine: Engine;
  readonly job: Job;
  readonly dataset: Dataset;
  /** What the owner lets models take. */
  readonly memoryBytes: number;
  readonly pacer: Pacer;
  readonly interrupts: Interrupts;
  readonly emulated?: EmulatedDevice | undefined;
  /** Undefined: the model was not profiled. */
  readonly undisturbed?: UndisturbedTimes | undefined;
}

type Pass = 'gradient' | 'step' | 'evaluate';

/** Of a whole pass. */
const PARTS: Readonly<Record<Pass, number>> = { gradient: 1, step: 1, evaluate: FORWARD_PART };

/** The vectors that the compute thread and the event loop share. */
export interface SharedVectors {
  readonly parameters: SharedArrayBuffer;
  readonly gradient: SharedArrayBuffer;
  readonly state: readonly SharedArrayBuffer[];
}

/** A run's model and data on the device. Calls come one at a time; after `CallAborted` everything is as before the call. */
export class TrainingSession {
  readonly shared: SharedVectors;
  private readonly parameters: Float32Array;
  private readonly gradientSum: Float32Array;
  private readonly state: readonly Float32Array[];
  private readonly order: SampleOrder;
  private sliceSamples: number;
  /** Of the device at full speed, the least that was measured; undefined before. */
  private msPerSample: number | undefined;
  private readonly passes: PassPacer;
  private steps = 0;
  /** The stage's parameters are still those drawn from the seed. */
  private fresh = true;
  private optimizer: LocalOptimizer | undefined;

  private constructor(
    private readonly options: SessionOptions,
    private stage: Stage,
    /** Of the model. */
    readonly blocks: number,
    /** From shapes. */
    readonly memoryBytes: number,
    /** Samples of a pass for which there is room. */
    private readonly most: number,
  ) {
    this.sliceSamples = Math.min(PROBE_SAMPLES, most);
    const vector = () => new SharedArrayBuffer(stage.layout.length * Float32Array.BYTES_PER_ELEMENT);
    const { sync, train } = options.job;
    const stateCount = localStepsOf(sync) === undefined ? localStateCount(train.optimizer) : 0;
    this.shared = { parameters: vector(), gradient: vector(), state: Array.from({ length: stateCount }, vector) };
    this.parameters = new Float32Array(this.shared.parameters);
    this.gradientSum = new Float32Array(this.shared.gradient);
    this.state = this.shared.state.map((memory) => new Float32Array(memory));
    this.passes = new PassPacer(options.pacer);
    this.order = new SampleOrder(options.dataset.length('train'), options.job.train.seed);
  }

  /** Throws LongtailError `refused` when the model needs more memory than there is. */
  static async create(options: SessionOptions): Promise<TrainingSession> {
    const { engine, job, memoryBytes } = options;
    const whole = await createModel(job.model, { ...options.dataset.signature, loss: job.loss });
    const model = stageModel(whole, 'all');
    const { optimizer } = job.train;
    // Moments that go to the server and come from there lie in memory that is shared, too.
    const stateBytes = localStepsOf(job.sync) === undefined ? 8 * localStateCount(optimizer) : ownStateBytes(optimizer);
    const estimate = estimateOf(whole, model, job);
    const most = roomFor(model, stateBytes, stashFactorOf(engine.info.name) * estimate, memoryBytes);
    const need = assertFits(`the model of ${job.name}`, wholeNeed(model, stateBytes, Math.min(MIN_SLICE, most), estimate), memoryBytes);
    const session = new TrainingSession(options, await build(options), model.blocks.length, need, most);
    try {
      await session.stage.readParameters(session.parameters);
      return session;
    } catch (error) {
      await session.dispose();
      throw error;
    }
  }

  get layouts(): readonly ParameterLayout[] {
    return [this.stage.layout];
  }

  /** Warms up, finds how many samples make a slice, and returns samples a second at the pace in force. */
  async measure(): Promise<number> {
    // No task has more samples than a batch, and what is measured here is what the run waits for.
    const atMost = Math.min(this.most, stepBatchOf(this.options.job));
    const probe = this.options.dataset.batch('train', firstIndices(this.options.dataset, Math.min(PROBE_SAMPLES, atMost)));
    await this.stage.gradient(probe);
    const probeMs = await timed(() => this.stage.gradient(probe));
    this.options.interrupts.throwIfAborted();
    this.sliceSamples = Math.min(this.most, sliceFor(probe.samples / probeMs));

    const batch = this.options.dataset.batch('train', firstIndices(this.options.dataset, Math.min(this.sliceSamples, atMost)));
    await this.stage.gradient(batch);
    const { emulated } = this.options;
    if (emulated !== undefined) {
      await this.stage.takeGradient(this.gradientSum);
      return emulated.samplesPerSecond;
    }
    let samples = 0;
    let workMs = 0;
    const startMs = performance.now();
    while (samples === 0 || performance.now() - startMs < MEASURE_MS) {
      this.options.interrupts.throwIfAborted();
      await this.options.pacer.run(async () => void (workMs += await timed(() => this.stage.gradient(batch))));
      samples += batch.samples;
    }
    const profiled = this.options.undisturbed?.('all', batch.samples, false);
    this.msPerSample = Math.min(workMs / samples, profiled === undefined ? Infinity : (profiled.forwardMs + profiled.backwardMs) / batch.samples);
    const seconds = (performance.now() - startMs) / 1000;
    await this.stage.takeGradient(this.gradientSum);
    return samples / seconds;
  }

  async initialParameters(): Promise<void> {
    if (!this.fresh) {
      await this.stage.dispose();
      this.stage = await build(this.options);
      this.optimizer = undefined;
      this.fresh = true;
    }
    await this.stage.readParameters(this.parameters);
  }

  async loadParameters(): Promise<void> {
    this.fresh = false;
    await this.stage.writeParameters(this.parameters);
  }

  async loadState(steps: number): Promise<void> {
    this.steps = steps;
    await this.prepareOptimizer();
    await this.stage.writeOptimizerState(this.state, steps);
  }

  async gradient(ranges: readonly SampleRange[]): Promise<ComputeResult> {
    const startMs = performance.now();
    const indices = this.order.indicesOf(ranges);
    this.passes.takePrepareMs();
    try {
      const stats = await this.emulated('gradient', indices.length, async () => {
        const sums = await this.overSlices('gradient', 'train', indices, (batch) => this.stage.gradient(batch));
        await this.stage.takeGradient(this.gradientSum);
        return sums;
      });
      return { ...stats, computeMs: performance.now() - startMs, prepareMs: this.passes.takePrepareMs() };
    } catch (error) {
      // What was added up so far belongs to nothing.
      await this.stage.takeGradient(this.gradientSum);
      throw error;
    }
  }

  async localSteps(
    { batches, result }: Omit<LocalStepsRequest, 'stop'>,
    onStep: (done: number, stats: BatchStats) => void,
  ): Promise<ComputeResult & { steps: number }> {
    const startMs = performance.now();
    this.passes.takePrepareMs();
    await this.prepareOptimizer();
    this.fresh = false;
    let total = NO_STATS;
    let reportedMs = startMs;
    let done = 0;
    try {
      for (const { ranges, hyper } of batches) {
        this.options.interrupts.throwIfAborted();
        if (this.options.interrupts.stopped) break;
        const indices = this.order.indicesOf(ranges);
        const stats = await this.emulated('step', indices.length, () => this.step(indices, hyper));
        total = add(total, stats);
        done++;
        if (performance.now() - reportedMs >= MIN_PROGRESS_GAP_MS) {
          reportedMs = performance.now();
          onStep(done, total);
        }
      }
    } catch (error) {
      if (error instanceof CallAborted) {
        // Of a step that is taken in slices some may be added up.
        await this.stage.takeGradient(this.gradientSum);
        await this.restore(result);
      }
      throw error;
    }
    if (result === 'move') await this.readMove();
    if (result === 'parameters') {
      await this.stage.readParameters(this.parameters);
      this.steps = (await this.stage.readOptimizerState(this.state)).steps;
    }
    return { ...total, steps: done, computeMs: performance.now() - startMs, prepareMs: this.passes.takePrepareMs() };
  }

  async evaluate(split: Split, start: number, end: number): Promise<ComputeResult> {
    const startMs = performance.now();
    const indices = Int32Array.from({ length: end - start }, (_, i) => start + i);
    const stats = await this.emulated('evaluate', indices.length, () => this.overSlices('evaluate', split, indices, (batch) => this.stage.evaluate(batch)));
    return { ...stats, computeMs: performance.now() - startMs };
  }

  dispose(): Promise<void> {
    return this.stage.dispose();
  }

  async readParts(vector: Float32Array, parts: readonly VectorRange[]): Promise<void> {
    for (const part of parts) await this.stage.readParameters(vector, part);
  }

  async addParts(vector: Float32Array, parts: readonly VectorRange[]): Promise<void> {
    for (const part of parts) await this.stage.addParameters(vector, part);
  }

  private async readMove(): Promise<void> {
    const { parameters, gradientSum: move } = this;
    await this.stage.readParameters(move);
    for (let i = 0; i < move.length; i++) move[i] = parameters[i]! - move[i]!;
  }

  /** The shared vectors hold what the device had before the call, but for moments that never leave it; of a stream they do not. */
  private async restore(result: LocalStepsResult): Promise<void> {
    if (result === 'nothing') return;
    await this.stage.writeParameters(this.parameters);
    if (result === 'parameters') await this.stage.writeOptimizerState(this.state, this.steps);
  }

  /** Samples of one call of a step. */
  private get stepSamples(): number {
    return Math.min(this.most, STEP_SLICES * this.sliceSamples);
  }

  /** As one call where nothing is to be done between backward pass and step, there is room for the batch, and it does not take long. */
  private async step(indices: Int32Array, hyper: StepHyper): Promise<BatchStats> {
    const { stage, gradientSum, optimizer, stepSamples } = this;
    const { clipNorm, optimizer: spec } = this.options.job.train;
    if (clipNorm === undefined && !isStateQuantized(spec) && indices.length <= stepSamples) {
      return this.overSlices('step', 'train', indices, (batch) => stage.step(batch, hyper), stepSamples);
    }
    let samples = 0;
    const addUp = async (batch: Batch): Promise<BatchStats> => {
      const stats = await stage.gradient(batch);
      samples += batch.samples;
      if (samples < indices.length) return stats;
      await stage.takeGradient(gradientSum);
      await optimizer!.apply(gradientSum, clippedDivisor(() => sumOfSquares(gradientSum), samples, clipNorm), hyper);
      return stats;
    };
    return this.overSlices('step', 'train', indices, addUp, stepSamples);
  }

  private async prepareOptimizer(): Promise<void> {
    this.optimizer ??= await createLocalOptimizer(this.stage, this.options.job.train.optimizer);
  }

  private async overSlices(
    pass: Pass,
    split: Split,
    indices: Int32Array,
    work: (batch: Batch) => Promise<BatchStats>,
    most = this.sliceSamples,
  ): Promise<BatchStats> {
    let total = NO_STATS;
    // As few as can be, and equal: a short one at the end costs nearly as much as a long one, and a graph of its own.
    const size = Math.ceil(indices.length / Math.ceil(indices.length / most));
    for (let from = 0; from < indices.length; from += size) {
      this.options.interrupts.throwIfAborted();
      const batch = this.options.dataset.batch(split, indices.subarray(from, from + size));
      total = add(total, await this.paced(pass, batch, () => work(batch)));
    }
    // An abort during the last pause counts too: nobody wants the result.
    this.options.interrupts.throwIfAborted();
    return total;
  }

  /** All of a call, where a device is emulated: what this one takes for it beside the pass is no part of that one's time. */
  private async emulated(pass: Pass, samples: number, call: () => Promise<BatchStats>): Promise<BatchStats> {
    const { emulated, pacer, interrupts } = this.options;
    if (emulated === undefined) return call();
    const stats = await pacer.last(emulated.passMs(samples, PARTS[pass]), call);
    interrupts.throwIfAborted();
    return stats;
  }

  private async paced(pass: Pass, { samples }: Batch, work: () => Promise<BatchStats>): Promise<BatchStats> {
    if (this.options.emulated !== undefined) return work();
    const { result, tookMs } = await this.passes.run(`${pass} ${samples}`, samples * (this.msPerSample ?? Infinity), work);
    // Workers of a host prepare all at once, and what they measure then is what they leave each other.
    if (pass !== 'evaluate' && this.msPerSample !== undefined) this.msPerSample = Math.min(this.msPerSample, tookMs / samples);
    return result;
  }
}

function build({ engine, job, dataset }: SessionOptions): Promise<Stage> {
  return engine.build(job.model, 'all', { loss: job.loss, data: dataset.signature, seed: job.train.seed });
}

const NO_STATS: BatchStats = { samples: 0, targets: 0, lossSum: 0, correct: 0 };

function add(a: BatchStats, b: BatchStats): BatchStats {
  return { samples: a.samples + b.samples, targets: a.targets + b.targets, lossSum: a.lossSum + b.lossSum, correct: a.correct + b.correct };
}

function firstIndices(dataset: Dataset, count: number): Int32Array {
  return Int32Array.from({ length: Math.min(count, dataset.length('train')) }, (_, i) => i);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return Math.max(performance.now() - startMs, 0.01);
}

/** A power of two, so that few sizes are seen by engines that compile for each. */
function sliceFor(samplesPerMs: number): number {
  const power = 2 ** Math.floor(Math.log2(samplesPerMs * SLICE_TARGET_MS));
  return Math.min(MAX_SLICE, Math.max(MIN_SLICE, power));
}
