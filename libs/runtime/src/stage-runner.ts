import { LongtailError, type BatchStats, type Compute, type ComputeResult, type HostTensor } from '@longtail/core';
import type { Place, StageAction, Task } from '@longtail/protocol';
import { FanOut } from './fan-out.js';
import { microbatchesOf } from './microbatches.js';
import type { StageInbox, StageTensorKind } from './stage-inbox.js';
import type { StageOutbox } from './stage-outbox.js';

/**
 * Walks a worker's passes of a task in the order that the task gives them in. Sends and receives follow from the passes:
 * one waits for the input that it needs and sends its output on without waiting for anybody to take it.
 */
export class StageRunner {
  constructor(
    private readonly place: Place,
    private readonly compute: Compute,
    private readonly inbox: StageInbox,
    private readonly outbox: Pick<StageOutbox, 'send'>,
  ) {}

  /** Leaves the gradient sum in `Prepared.gradient`. After a failure or an abort the device has forgotten the task. */
  gradient(task: Task, signal: AbortSignal): Promise<ComputeResult> {
    const microbatches = microbatchesOf(task.ranges, task.microbatch);
    return this.through(task, signal, async (walk, pass) => {
      for (const action of task.actions) {
        const { op, microbatch } = action;
        const ranges = microbatches[microbatch];
        if (ranges === undefined) throw noSuchMicrobatch(action, microbatches.length);
        if (op === 'F') {
          const { output, stats, computeMs } = await this.compute.forward(this.held(action), microbatch, ranges, await pass.input(action), signal);
          walk.add(stats, computeMs, this.isLast(action));
          pass.on(action, output);
        } else {
          const { inputGradient, computeMs } = await this.compute.backward(op, this.held(action), microbatch, await pass.input(action), signal);
          walk.computeMs += computeMs;
          pass.on(action, inputGradient);
        }
      }
      // Where there are fewer microbatches than replicas, one may have none.
      return task.actions.length === 0 ? 0 : (await this.compute.takeGradient()).samples;
    });
  }

  /** Forward passes over samples [start, end) of the validation split. */
  evaluate(task: Task, signal: AbortSignal): Promise<ComputeResult> {
    const { start, end, microbatch: size, actions } = task;
    return this.through(task, signal, async (walk, pass) => {
      let samples = 0;
      for (const action of actions) {
        const from = start + action.microbatch * size;
        const to = Math.min(end, from + size);
        const input = await pass.input(action);
        const { output, stats, computeMs } = await this.compute.evaluateStage(this.held(action), 'validation', from, to, input, signal);
        walk.add(stats, computeMs, this.isLast(action));
        pass.on(action, output);
        if (action.stage === actions[0]!.stage) samples += to - from;
      }
      return samples;
    });
  }

  /** Its number among the stages that the worker holds. */
  private held({ stage }: StageAction): number {
    const number = this.place.held.findIndex((held) => held.stage === stage);
    if (number < 0) throw new LongtailError(`a pass of stage ${stage}, which this worker does not hold`, { code: 'protocol' });
    return number;
  }

  private isLast({ stage }: StageAction): boolean {
    return stage === this.place.stages - 1;
  }

  /** `work` returns the samples that it took through each stage. */
  private async through(task: Task, signal: AbortSignal, work: (walk: Walk, passing: Passing) => Promise<number>): Promise<ComputeResult> {
    const walk = new Walk();
    try {
      const samples = await work(walk, new Passing(task, this.place.stages, this.inbox, this.outbox, signal));
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
  async input({ op, stage, microbatch }: StageAction): Promise<HostTensor | undefined> {
    const { task, stages, inbox, signal } = this;
    if (op === 'W' || stage === (op === 'F' ? 0 : stages - 1)) return undefined;
    return inbox.take(task.task, kindOf(op), stage, microbatch, signal);
  }

  /** Sends the action's output on its way. */
  on({ op, stage, microbatch, to }: StageAction, tensor: HostTensor | undefined): void {
    if (op === 'W' || stage === (op === 'F' ? this.stages - 1 : 0)) return;
    const kind = kindOf(op);
    if (tensor === undefined) throw new Error(`stage ${stage} gave no ${kind} of microbatch ${microbatch}`);
    const output = { kind, stage: stage + (op === 'F' ? 1 : -1), microbatch, to, tensor } as const;
    // Called off, or the session ended: whoever waits for it is told by that.
    void this.sends.run((signal) => this.outbox.send(this.task, output, signal)).catch(() => undefined);
  }
}

function kindOf(op: 'F' | 'B' | 'I'): StageTensorKind {
  return op === 'F' ? 'activation' : 'activation-gradient';
}

/** What a walk comes to. */
class Walk {
  readonly sums = { targets: 0, lossSum: 0, correct: 0 };
  computeMs = 0;

  add(stats: BatchStats | undefined, computeMs: number, atLoss: boolean): void {
    this.computeMs += computeMs;
    if (!atLoss) return;
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
