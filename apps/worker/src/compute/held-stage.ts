import type { BackwardResult, Batch, DataSignature, Dataset, ForwardResult, HostTensor, SampleRange, Split, Stage } from '@longtail/core';
import { allFinite, FORWARD_PART, INPUT_GRADIENT_PART, LongtailError } from '@longtail/core';
import type { SampleOrder } from '@longtail/data';
import type { StageModel } from '@longtail/engine';
import type { EmulatedDevice } from './emulated-device.js';
import type { Interrupts } from './interrupts.js';
import type { PassBytes } from './memory.js';
import type { Pacer } from './pacer.js';
import { PassPacer } from './pass-pacer.js';
import { randomTargets, randomTensor } from './random-tensor.js';
import type { PassTimes } from './undisturbed.js';

export interface StageSurroundings {
  readonly signature: DataSignature;
  /** Undefined where no stage of the worker reads inputs or targets. */
  readonly data: { readonly dataset: Dataset; readonly order: SampleOrder } | undefined;
  /** Samples of the largest microbatch. */
  readonly microbatch: number;
  /** What its passes take by the profile. */
  readonly profiled: PassTimes | undefined;
  readonly pacer: Pacer;
  readonly interrupts: Interrupts;
  readonly emulated: EmulatedDevice | undefined;
  /** Of the model's work. */
  readonly share: number;
  readonly recompute: boolean;
}

type Pass = 'F' | 'B' | 'I' | 'W' | 'evaluate';

/** Of a whole pass. */
const PARTS: Readonly<Record<Pass, number>> = {
  F: FORWARD_PART,
  B: 1 - FORWARD_PART,
  I: (1 - FORWARD_PART) * INPUT_GRADIENT_PART,
  W: (1 - FORWARD_PART) * (1 - INPUT_GRADIENT_PART),
  evaluate: FORWARD_PART,
};

/** Rounds of a warm-up: so many, as others on the machine warm up too, but from the third on only while they do not take longer than this together. */
const WARM_UP_ROUNDS = 15;
const WARM_UP_MS = 500;

/** What the passes of a measurement are fed. */
interface Probe {
  readonly inputs: HostTensor;
  readonly targets: HostTensor | undefined;
  readonly outputGradient: HostTensor | undefined;
}

/** A stage of the run's model on the device: its blocks and their passes, at the pace in force. */
export class HeldStage {
  /** Microbatches between forward and the end of backward, with their samples. */
  private readonly open = new Map<number, number>();
  /** Of the device at full speed, as measured. */
  private readonly msPerSample = new Map<Pass, number>();
  private readonly passes: PassPacer;
  private readonly probe: Probe;

  constructor(
    readonly model: StageModel,
    readonly stage: Stage,
    private readonly around: StageSurroundings,
  ) {
    this.passes = new PassPacer(around.pacer);
    this.probe = this.probeOf(around.microbatch);
  }

  /** Of the model's work. */
  get share(): number {
    return this.around.share;
  }

  get inFlight(): number {
    return this.open.size;
  }

  /** Every graph that a schedule may run, before anybody waits for it, several times: the first one tells what a microbatch holds, the fastest how long it takes. */
  async warmUp(onFirst: (bytes: PassBytes) => void): Promise<void> {
    const { inputs, targets, outputGradient } = this.probe;
    const { microbatch: samples, interrupts } = this.around;
    const timed = async (pass: Pass, work: () => Promise<unknown>): Promise<void> => {
      const startMs = performance.now();
      await work();
      this.msPerSample.set(pass, Math.min(this.msPerSample.get(pass) ?? Infinity, (performance.now() - startMs) / samples));
      this.passes.met(`${pass} ${samples}`);
    };
    for (const round of warmUpRounds()) {
      await timed('F', () => this.stage.forward(0, inputs, targets));
      const stash = this.stage.stashBytes;
      await timed('I', () => this.stage.backwardInput(0, outputGradient));
      const workspace = this.stage.stashBytes;
      await timed('W', () => this.stage.backwardWeights(0));
      if (round === 0) onFirst({ stash, workspace });
      interrupts.throwIfAborted();
    }
    await this.stage.infer(inputs, targets);
    await timed('evaluate', () => this.stage.infer(inputs, targets));
    await this.stage.dropPasses();
    for (const microbatch of warmUpRounds()) {
      // The first gradient is kept as it comes, the others are added to it.
      await this.stage.forward(microbatch, inputs, targets);
      await timed('B', () => this.stage.backward(microbatch, outputGradient));
    }
    const { profiled } = this.around;
    if (profiled === undefined) return;
    for (const [pass, ms] of [['F', profiled.forwardMs], ['B', profiled.backwardMs]] as const) {
      this.msPerSample.set(pass, Math.min(this.msPerSample.get(pass)!, ms / samples));
    }
  }

  /** Both passes of one microbatch that is as large as they come, and their rest. */
  async measure(): Promise<void> {
    const { inputs, targets, outputGradient } = this.probe;
    const { pacer } = this.around;
    await pacer.run(() => this.stage.forward(0, inputs, targets));
    await pacer.run(() => this.stage.backward(0, outputGradient));
  }

  async forward(microbatch: number, ranges: readonly SampleRange[], input: HostTensor | undefined): Promise<ForwardResult> {
    const samples = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
    return this.paced('F', samples, async () => {
      const { inputs, targets } = this.feeds('train', this.around.data?.order.indicesOf(ranges), input);
      const { output, stats } = await this.stage.forward(microbatch, inputs, targets);
      this.open.set(microbatch, samples);
      if (this.stage.isLast) return { output: undefined, stats };
      this.assertFinite(output, 'activation', input);
      return { output, stats };
    });
  }

  async backward(op: 'B' | 'I' | 'W', microbatch: number, outputGradient: HostTensor | undefined): Promise<BackwardResult> {
    return this.paced(op, this.open.get(microbatch) ?? 0, async () => {
      const inputGradient = await this.backwardPass(op, microbatch, outputGradient);
      if (op !== 'I') this.open.delete(microbatch);
      if (inputGradient !== undefined) this.assertFinite(inputGradient, 'gradient', outputGradient);
      return { inputGradient };
    });
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

  /** What is not finite goes no further: whoever has it first is where a run diverges, or a device that computes nonsense. */
  private assertFinite({ data }: HostTensor, what: string, from: HostTensor | undefined): void {
    if (allFinite(data)) return;
    const { start, end } = this.model.range;
    const whence = from === undefined || allFinite(from.data) ? '' : ', as what it came from was not';
    throw new LongtailError(`the ${what} that leaves blocks ${start} to ${end - 1} is not finite${whence}`, { code: 'diverged' });
  }

  /** The work and its rest; an abort before it begins drops it. */
  private async paced<Result extends object>(
    pass: Pass,
    samples: number,
    work: () => Promise<Result>,
  ): Promise<Result & { computeMs: number }> {
    this.around.interrupts.throwIfAborted();
    const startMs = performance.now();
    const result = await this.lasting(pass, samples, work);
    return { ...result, computeMs: performance.now() - startMs };
  }

  private async lasting<Result>(pass: Pass, samples: number, work: () => Promise<Result>): Promise<Result> {
    const { emulated, share, recompute, pacer } = this.around;
    const again = recompute && (pass === 'B' || pass === 'I') ? FORWARD_PART : 0;
    if (emulated !== undefined) return pacer.last(emulated.passMs(samples, share * (PARTS[pass] + again)), work);
    return (await this.passes.run(`${pass} ${samples}`, samples * (this.msPerSample.get(pass) ?? Infinity), work)).result;
  }

  private async backwardPass(
    op: 'B' | 'I' | 'W',
    microbatch: number,
    outputGradient: HostTensor | undefined,
  ): Promise<HostTensor | undefined> {
    if (op === 'B') return this.stage.backward(microbatch, outputGradient);
    if (op === 'I') return this.stage.backwardInput(microbatch, outputGradient);
    await this.stage.backwardWeights(microbatch);
    return undefined;
  }

  /** A stage between others takes all from its neighbour. */
  private feeds(
    split: Split,
    indices: Int32Array | undefined,
    input: HostTensor | undefined,
  ): { inputs: HostTensor; targets?: HostTensor } {
    const { isFirst, isLast } = this.stage;
    if (!isFirst && input === undefined) throw new Error('a stage that is not the first takes its input');
    if (!isFirst && !isLast) return { inputs: input! };
    const batch = this.around.data!.dataset.batch(split, indices!);
    const inputs = isFirst ? batch.inputs : input!;
    if (inputs.shape[0] !== batch.samples) throw new Error(`an input of ${inputs.shape[0]} samples for ranges of ${batch.samples}`);
    return { inputs, targets: isLast ? batch.targets : undefined };
  }

  private probeOf(samples: number): Probe {
    const { isFirst, isLast } = this.stage;
    return {
      inputs: isFirst ? this.firstInputs(samples) : randomTensor([samples, ...this.model.inputShape]),
      targets: isLast ? randomTargets(this.around.signature, samples) : undefined,
      outputGradient: isLast ? undefined : randomTensor([samples, ...this.model.outputShape]),
    };
  }

  /** Samples as they are: how long an embedding takes depends on them. Over again where the data set is smaller. */
  private firstInputs(samples: number): Batch['inputs'] {
    const { dataset } = this.around.data!;
    const length = dataset.length('train');
    return dataset.batch(
      'train',
      Int32Array.from({ length: samples }, (_, i) => i % length),
    ).inputs;
  }
}

function* warmUpRounds(): Generator<number> {
  const startMs = performance.now();
  for (let round = 0; round < 2 || (round < WARM_UP_ROUNDS && performance.now() < startMs + WARM_UP_MS); round++) yield round;
}
