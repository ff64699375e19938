import type {
  BackwardResult,
  Batch,
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
  Stage,
  StageUse,
} from '@longtail/core';
import { LongtailError } from '@longtail/core';
import { createModel, initialParameters, profileModel, stageModel } from '@longtail/engine';
import type { StageModel } from '@longtail/engine';
import type { Interrupts } from './interrupts.js';
import { assertFits, leastPassBytes, stageNeed } from './memory.js';
import type { Pacer } from './pacer.js';
import { PassPacer } from './pass-pacer.js';
import { SampleOrder } from './sample-order.js';
import { randomTargets, randomTensor } from './random-tensor.js';
import type { SharedVectors } from './training-session.js';

/** How long the speed is measured, pauses of the throttle included. */
const MEASURE_MS = 400;

export interface StageOptions {
  readonly engine: Engine;
  readonly job: Job;
  readonly blocks: BlockRange;
  readonly use: StageUse;
  readonly signature: DataSignature;
  /** Undefined at a stage that reads neither inputs nor targets. */
  readonly dataset: Dataset | undefined;
  /** What the owner lets models take. */
  readonly memoryBytes: number;
  readonly pacer: Pacer;
  readonly interrupts: Interrupts;
}

type Pass = 'F' | 'B' | 'I' | 'W' | 'evaluate';

/** What the passes of a measurement are fed. */
interface Probe {
  readonly inputs: HostTensor;
  readonly targets: HostTensor | undefined;
  readonly outputGradient: HostTensor | undefined;
}

/** A stage of a run's model on the device: its blocks and nothing else. Calls come one at a time; a pass that has begun is finished. */
export class StageSession {
  readonly shared: SharedVectors;
  /** Counted from a real pass; known once it was measured. */
  memoryBytes = 0;
  private readonly parameters: Float32Array;
  private readonly gradientSum: Float32Array;
  private readonly order: SampleOrder | undefined;
  /** Microbatches between forward and the end of backward, with their samples. */
  private readonly open = new Map<number, number>();
  /** Of the device at full speed, as measured. */
  private readonly msPerSample = new Map<Pass, number>();
  private readonly passes: PassPacer;

  private constructor(
    private readonly options: StageOptions,
    private readonly model: StageModel,
    private readonly stage: Stage,
    /** Of the whole model. */
    readonly blocks: number,
  ) {
    const vector = () => new SharedArrayBuffer(stage.layout.length * Float32Array.BYTES_PER_ELEMENT);
    this.shared = { parameters: vector(), gradient: vector(), state: [] };
    this.parameters = new Float32Array(this.shared.parameters);
    this.gradientSum = new Float32Array(this.shared.gradient);
    const { dataset, job, pacer } = options;
    this.passes = new PassPacer(pacer);
    this.order = dataset && new SampleOrder(dataset.length('train'), job.train.seed);
  }

  /** Throws LongtailError `refused` when the stage needs more memory than there is. */
  static async create(options: StageOptions): Promise<StageSession> {
    const { engine, job, blocks, use, signature, memoryBytes } = options;
    const whole = await createModel(job.model, { ...signature, loss: job.loss });
    const model = stageModel(whole, blocks);
    const estimate = profileModel(job.name, whole).blocks.slice(blocks.start, blocks.end).reduce((sum, { stashBytes }) => sum + stashBytes, 0);
    assertFits(nameOf(model, job), stageNeed(model, use, leastPassBytes(model, use.microbatch, use.recompute, estimate)), memoryBytes);
    const { loss } = job;
    const stage = await engine.build(job.model, blocks, { loss, data: signature, seed: job.train.seed, recompute: use.recompute });
    const session = new StageSession(options, model, stage, whole.blocks.length);
    try {
      await stage.readParameters(session.parameters);
      return session;
    } catch (error) {
      await session.dispose();
      throw error;
    }
  }

  get layout(): ParameterLayout {
    return this.stage.layout;
  }

  /** Warms up, holds what the passes take against the offer, and returns samples a second at the pace in force. */
  async measure(): Promise<number> {
    const { use, pacer, interrupts } = this.options;
    const probe = this.probe(use.microbatch);
    const passes = async (): Promise<void> => {
      await pacer.run(() => this.stage.forward(0, probe.inputs, probe.targets));
      await pacer.run(() => this.stage.backward(0, probe.outputGradient));
    };
    await this.warmUp(probe);
    let samples = 0;
    const startMs = performance.now();
    while (samples === 0 || performance.now() - startMs < MEASURE_MS) {
      interrupts.throwIfAborted();
      await passes();
      samples += probe.inputs.shape[0]!;
    }
    const seconds = (performance.now() - startMs) / 1000;
    await this.stage.dropPasses();
    return samples / seconds;
  }

  async initialParameters(): Promise<void> {
    this.parameters.set(initialParameters(this.model, this.options.job.train.seed));
    await this.loadParameters();
  }

  async loadParameters(): Promise<void> {
    await this.stage.writeParameters(this.parameters);
  }

  async forward(microbatch: number, ranges: readonly SampleRange[], input: HostTensor | undefined): Promise<ForwardResult> {
    const { inFlight } = this.options.use;
    if (this.open.size >= inFlight) {
      throw new LongtailError(`microbatch ${microbatch} would be number ${this.open.size + 1} in flight, the stage has room for ${inFlight}`, {
        code: 'refused',
        hint: 'Prepare the stage for as many as its schedule holds at once.',
      });
    }
    const samples = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
    return this.paced('F', samples, async () => {
      const { inputs, targets } = this.feeds('train', this.order?.indicesOf(ranges), input);
      const { output, stats } = await this.stage.forward(microbatch, inputs, targets);
      this.open.set(microbatch, samples);
      return { output: this.stage.isLast ? undefined : output, stats };
    });
  }

  async backward(op: 'B' | 'I' | 'W', microbatch: number, outputGradient: HostTensor | undefined): Promise<BackwardResult> {
    return this.paced(op, this.open.get(microbatch) ?? 0, async () => {
      const inputGradient = await this.backwardPass(op, microbatch, outputGradient);
      if (op !== 'I') this.open.delete(microbatch);
      return { inputGradient };
    });
  }

  takeGradient(): Promise<{ samples: number }> {
    return this.stage.takeGradient(this.gradientSum);
  }

  async dropPasses(): Promise<void> {
    this.open.clear();
    await this.stage.dropPasses();
  }

  async evaluate(split: Split, start: number, end: number, input: HostTensor | undefined): Promise<ForwardResult> {
    return this.paced('evaluate', end - start, async () => {
      const indices = Int32Array.from({ length: end - start }, (_, i) => start + i);
      const { inputs, targets } = this.feeds(split, indices, input);
      const { output, stats } = await this.stage.infer(inputs, targets);
      return { output: this.stage.isLast ? undefined : output, stats };
    });
  }

  dispose(): Promise<void> {
    return this.stage.dispose();
  }

  /** Every graph that a schedule may run, before anybody waits for it; the first one tells what a microbatch takes. */
  private async warmUp({ inputs, targets, outputGradient }: Probe): Promise<void> {
    const { use, job, memoryBytes } = this.options;
    const timed = async (pass: Pass, work: () => Promise<unknown>): Promise<void> => {
      const startMs = performance.now();
      await work();
      this.msPerSample.set(pass, (performance.now() - startMs) / use.microbatch);
      this.passes.met(`${pass} ${use.microbatch}`);
    };
    for (const round of [0, 1]) {
      await timed('F', () => this.stage.forward(0, inputs, targets));
      const stash = this.stage.stashBytes;
      await timed('I', () => this.stage.backwardInput(0, outputGradient));
      const workspace = this.stage.stashBytes;
      await timed('W', () => this.stage.backwardWeights(0));
      if (round === 0) this.memoryBytes = assertFits(nameOf(this.model, job), stageNeed(this.model, use, { stash, workspace }), memoryBytes);
      this.options.interrupts.throwIfAborted();
    }
    await this.stage.infer(inputs, targets);
    await timed('evaluate', () => this.stage.infer(inputs, targets));
    await this.stage.dropPasses();
    for (const microbatch of [0, 1]) {
      // The first gradient is kept as it comes, the others are added to it.
      await this.stage.forward(microbatch, inputs, targets);
      await timed('B', () => this.stage.backward(microbatch, outputGradient));
    }
  }

  /** The work and its rest; an abort before it begins drops it. */
  private async paced<Result extends object>(pass: Pass, samples: number, work: () => Promise<Result>): Promise<Result & { computeMs: number }> {
    this.options.interrupts.throwIfAborted();
    const startMs = performance.now();
    const result = await this.passes.run(`${pass} ${samples}`, samples * (this.msPerSample.get(pass) ?? Infinity), work);
    return { ...result, computeMs: performance.now() - startMs };
  }

  private async backwardPass(op: 'B' | 'I' | 'W', microbatch: number, outputGradient: HostTensor | undefined): Promise<HostTensor | undefined> {
    if (op === 'B') return this.stage.backward(microbatch, outputGradient);
    if (op === 'I') return this.stage.backwardInput(microbatch, outputGradient);
    await this.stage.backwardWeights(microbatch);
    return undefined;
  }

  /** A stage between others takes all from its neighbour. */
  private feeds(split: Split, indices: Int32Array | undefined, input: HostTensor | undefined): { inputs: HostTensor; targets?: HostTensor } {
    const { isFirst, isLast } = this.stage;
    if (!isFirst && input === undefined) throw new Error('a stage that is not the first takes its input');
    if (!isFirst && !isLast) return { inputs: input! };
    const batch = this.options.dataset!.batch(split, indices!);
    const inputs = isFirst ? batch.inputs : input!;
    if (inputs.shape[0] !== batch.samples) throw new Error(`an input of ${inputs.shape[0]} samples for ranges of ${batch.samples}`);
    return { inputs, targets: isLast ? batch.targets : undefined };
  }

  private probe(samples: number): Probe {
    const { signature } = this.options;
    const { isFirst, isLast } = this.stage;
    return {
      inputs: isFirst ? this.firstInputs(samples) : randomTensor([samples, ...this.model.inputShape]),
      targets: isLast ? randomTargets(signature, samples) : undefined,
      outputGradient: isLast ? undefined : randomTensor([samples, ...this.model.outputShape]),
    };
  }

  /** Samples as they are: how long an embedding takes depends on them. Over again where the data set is smaller. */
  private firstInputs(samples: number): Batch['inputs'] {
    const dataset = this.options.dataset!;
    const length = dataset.length('train');
    return dataset.batch('train', Int32Array.from({ length: samples }, (_, i) => i % length)).inputs;
  }
}

function nameOf({ blocks, range }: StageModel, { name }: Job): string {
  const [first, last] = [blocks[0]!.name, blocks.at(-1)!.name];
  const which = blocks.length === 1 ? `block ${range.start} (${first})` : `blocks ${range.start} to ${range.end - 1} (${first} … ${last})`;
  return `a stage of ${name} with ${which}`;
}
