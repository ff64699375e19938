import { clippedDivisor, LongtailError, sumOfSquares, type BatchStats, type Compute, type ComputeResult, type ForwardResult, type HostTensor, type SampleRange } from '@longtail/core';
import type { Place, StageAction, Task } from '@longtail/protocol';
import { FanOut } from './fan-out.js';
import { countSamples, microbatchesOf } from './microbatches.js';
import { PassQueue } from './pass-queue.js';
import { Peers } from './peers.js';
import type { StageInbox } from './stage-inbox.js';
import type { StageOutbox } from './stage-outbox.js';

/**
 * Walks a worker's passes of a task in the order that the task gives them in. Sends and receives follow from the passes:
 * one waits for the input that it needs and sends its output on without waiting for anybody to take it. The device has the
 * next pass while it works on one, where the input is there.
 */
export class StageRunner {
  constructor(
    private readonly place: Place,
    private readonly compute: Compute,
    private readonly inbox: StageInbox,
    private readonly outbox: Pick<StageOutbox, 'send'>,
    /** Of local steps. */
    private readonly clipNorm: number | undefined,
  ) {}

  /** Leaves the gradient sum in `Prepared.gradient`. After a failure or an abort the device has forgotten the task. */
  gradient(task: Task, signal: AbortSignal): Promise<ComputeResult> {
    return this.through(task, signal, async (walk) => {
      await this.train(walk, task.actions, microbatchesOf(task.ranges, task.microbatch), signal);
      // Where there are fewer microbatches than replicas, one may have none.
      return task.actions.length === 0 ? 0 : (await this.compute.takeGradient()).samples;
    });
  }

  /**
   * Inner steps of the group: each worker walks its passes, adds up with the others what they share, and steps its own
   * parameters. Leaves in `gradient`, which is `Prepared.gradient`, how far they moved. Once `stop` is aborted at the group's first worker, the step
   * under way is the last for all. `samples` are those of the group. `onStep` gets sums over the steps done so far.
   */
  async localSteps(
    task: Task,
    gradient: Float32Array,
    stop: AbortSignal,
    onStep: (done: number, stats: BatchStats) => void,
    signal: AbortSignal,
  ): Promise<ComputeResult & { steps: number }> {
    const { compute, inbox, outbox, place } = this;
    const peers = new Peers(place, task, inbox, outbox, signal);
    let done = 0;
    const result = await this.through(task, signal, async (walk) => {
      let samples = 0;
      for (const { ranges, learningRate } of task.steps) {
        if (!(await peers.begin(done, !stop.aborted))) break;
        walk.step = done;
        const microbatches = microbatchesOf(ranges, task.microbatch);
        const actions = task.actions.filter(({ microbatch }) => microbatch < microbatches.length);
        await this.train(walk, actions, microbatches, signal);
        await compute.takeGradient();
        await peers.addShared(done, gradient);
        const count = countSamples(ranges);
        const divisor = await this.divisor(peers, done, task, gradient, count);
        walk.computeMs += (await compute.stepStages(divisor, { learningRate })).computeMs;
        inbox.closeStep({ task: task.task, step: done });
        done++;
        samples += count;
        if (walk.sums.targets > 0) onStep(done, { ...walk.sums, samples });
      }
      await compute.takeMove();
      return samples;
    });
    return { ...result, steps: done };
  }

  /** What a step's gradient sum is divided by. What several workers hold counts once: with the one who brings it home. */
  private async divisor(peers: Peers, step: number, { parts }: Task, gradient: Float32Array, samples: number): Promise<number> {
    const { clipNorm } = this;
    if (clipNorm === undefined) return samples;
    const own = parts.reduce((sum, { start, length }) => sum + sumOfSquares(gradient.subarray(start, start + length)), 0);
    const norm = await peers.norm(step, Math.sqrt(own));
    return clippedDivisor(() => norm ** 2, samples, clipNorm);
  }

  /** Forward passes over samples [start, end) of the validation split. */
  evaluate(task: Task, signal: AbortSignal): Promise<ComputeResult> {
    const { start, end, microbatch: size, actions } = task;
    return this.through(task, signal, async (walk) => {
      let samples = 0;
      for (const action of actions) {
        const from = start + action.microbatch * size;
        const to = Math.min(end, from + size);
        const held = this.held(action);
        await walk.pass(action, (input) => this.compute.evaluateStage(held, 'validation', from, to, input, signal));
        if (action.stage === actions[0]!.stage) samples += to - from;
      }
      await walk.end();
      return samples;
    });
  }

  /** Forward and backward passes; resolves when all are done. */
  private async train(walk: Walk, actions: readonly StageAction[], microbatches: readonly (readonly SampleRange[])[], signal: AbortSignal): Promise<void> {
    for (const action of actions) {
      const { op, microbatch } = action;
      const ranges = microbatches[microbatch];
      if (ranges === undefined) throw noSuchMicrobatch(action, microbatches.length);
      const held = this.held(action);
      await walk.pass(action, async (input) => {
        if (op === 'F') return this.compute.forward(held, microbatch, ranges, input, signal);
        const { inputGradient: output, computeMs } = await this.compute.backward(op, held, microbatch, input, signal);
        return { output, stats: undefined, computeMs };
      });
    }
    await walk.end();
  }

  /** Its number among the stages that the worker holds. */
  private held({ stage }: StageAction): number {
    const number = this.place.held.findIndex((held) => held.stage === stage);
    if (number < 0) throw new LongtailError(`a pass of stage ${stage}, which this worker does not hold`, { code: 'protocol' });
    return number;
  }

  /** `work` returns the samples that it took through each stage. */
  private async through(task: Task, signal: AbortSignal, work: (walk: Walk) => Promise<number>): Promise<ComputeResult> {
    const { stages } = this.place;
    const walk = new Walk(new Passing(task, stages, this.inbox, this.outbox, signal), stages - 1);
    try {
      const samples = await work(walk);
      return { ...walk.sums, samples, computeMs: walk.computeMs };
    } catch (error) {
      await this.compute.dropPasses();
      throw error;
    } finally {
      this.inbox.close(task.task);
    }
  }
}

/** What passes between the stages of a task. */
class Passing {
  private readonly sends: FanOut;

  constructor(
    private readonly task: Task,
    private readonly stages: number,
    private readonly inbox: StageInbox,
    private readonly outbox: Pick<StageOutbox, 'send'>,
    private readonly signal: AbortSignal,
  ) {
    this.sends = new FanOut(signal);
  }

  /** What the action needs of a neighbour: data and loss are at the ends, and the second half of a backward pass needs nothing. */
  async input({ op, stage, microbatch }: StageAction, step: number): Promise<HostTensor | undefined> {
    const { task, stages, inbox, signal } = this;
    if (op === 'W' || stage === (op === 'F' ? 0 : stages - 1)) return undefined;
    return inbox.take({ task: task.task, step }, kindOf(op), stage, microbatch, signal);
  }

  /** Sends the action's output on its way. */
  on({ op, stage, microbatch, to }: StageAction, step: number, tensor: HostTensor | undefined): void {
    if (op === 'W' || stage === (op === 'F' ? this.stages - 1 : 0)) return;
    const kind = kindOf(op);
    if (tensor === undefined) throw new Error(`stage ${stage} gave no ${kind} of microbatch ${microbatch}`);
    const output = { kind, stage: stage + (op === 'F' ? 1 : -1), fragment: microbatch, to, tensor } as const;
    // Called off, or the session ended: whoever waits for it is told by that.
    void this.sends.run((signal) => this.outbox.send(this.task, step, output, signal)).catch(() => undefined);
  }
}

function kindOf(op: 'F' | 'B' | 'I'): 'activation' | 'activation-gradient' {
  return op === 'F' ? 'activation' : 'activation-gradient';
}

/** Passes of a task on their way through the device, and what they come to. */
class Walk {
  readonly sums = { targets: 0, lossSum: 0, correct: 0 };
  computeMs = 0;
  /** The inner step under way. */
  step = 0;
  private readonly queue = new PassQueue();

  constructor(
    private readonly passing: Passing,
    private readonly lastStage: number,
  ) {}

  /** Gives the device a pass as soon as its input is there; resolves when the next one may come. */
  async pass(action: StageAction, run: (input: HostTensor | undefined) => Promise<ForwardResult>): Promise<void> {
    const input = await this.queue.unlessFailed(this.passing.input(action, this.step));
    await this.queue.add(run(input).then((result) => this.done(action, result)));
  }

  /** Resolves when all passes are done. */
  end(): Promise<void> {
    return this.queue.drained();
  }

  private done(action: StageAction, { output, stats, computeMs }: ForwardResult): void {
    this.computeMs += computeMs;
    if (action.op === 'F' && action.stage === this.lastStage) this.add(stats);
    this.passing.on(action, this.step, output);
  }

  private add(stats: BatchStats | undefined): void {
    if (stats === undefined) {
      throw new LongtailError('the last stage of the pipeline gave no loss: blocks of the model are on no worker', {
        code: 'usage',
        where: 'cluster.layout',
        hint: "Let the stages of each group have all of the model's blocks between them.",
      });
    }
    for (const key of ['targets', 'lossSum', 'correct'] as const) this.sums[key] += stats[key];
  }
}

function noSuchMicrobatch({ microbatch }: StageAction, microbatches: number): LongtailError {
  return new LongtailError(`a pass of microbatch ${microbatch}, the task has ${microbatches}`, { code: 'protocol' });
}
