import { LongtailError, type BatchStats, type Compute, type ComputeResult, type HostTensor } from '@longtail/core';
import type { Stage, StageAction, Task } from '@longtail/protocol';
import { FanOut } from './fan-out.js';
import { countSamples, microbatchesOf } from './microbatches.js';
import type { StageInbox, StageTensorKind } from './stage-inbox.js';
import type { StageOutbox } from './stage-outbox.js';

/**
 * Walks a stage's passes of a task in the order that the task gives them in. Sends and receives follow from the passes:
 * one waits for the input that it needs and sends its output on without waiting for anybody to take it.
 */
export class StageRunner {
  constructor(
    private readonly stage: Stage,
    private readonly compute: Compute,
    private readonly inbox: StageInbox,
    private readonly outbox: Pick<StageOutbox, 'send'>,
  ) {}

  /** Leaves the gradient sum in `Prepared.gradient`. After a failure or an abort the device has forgotten the task. */
  gradient(task: Task, signal: AbortSignal): Promise<ComputeResult> {
    return this.through(task, signal, async (sends) => {
      const walk = new Walk(this.isLast);
      const microbatches = microbatchesOf(task.ranges, task.microbatch);
      for (const action of task.actions) {
        if (action.op === 'F') {
          const ranges = microbatches[action.microbatch];
          if (ranges === undefined) throw noSuchMicrobatch(action, microbatches.length);
          const input = await this.input(task, 'activation', action.microbatch, signal);
          const { output, stats, computeMs } = await this.compute.forward(action.microbatch, ranges, input, signal);
          walk.add(stats, computeMs);
          this.pass(task, 'activation', action.microbatch, output, sends);
        } else {
          walk.computeMs += await this.backward(task, action, sends, signal);
        }
      }
      const { samples } = await this.compute.takeGradient();
      return { ...walk.sums, samples, computeMs: walk.computeMs };
    });
  }

  /** Forward passes over samples [start, end) of the validation split. */
  evaluate(task: Task, signal: AbortSignal): Promise<ComputeResult> {
    return this.through(task, signal, async (sends) => {
      const walk = new Walk(this.isLast);
      const { start, end, microbatch: size } = task;
      for (let from = start, microbatch = 0; from < end; from += size, microbatch++) {
        const input = await this.input(task, 'activation', microbatch, signal);
        const to = Math.min(end, from + size);
        const { output, stats, computeMs } = await this.compute.evaluateStage('validation', from, to, input, signal);
        walk.add(stats, computeMs);
        this.pass(task, 'activation', microbatch, output, sends);
      }
      return { ...walk.sums, samples: countSamples([{ start, end }]), computeMs: walk.computeMs };
    });
  }

  private get isFirst(): boolean {
    return this.stage.stage === 0;
  }

  private get isLast(): boolean {
    return this.stage.stage === this.stage.stages - 1;
  }

  private async through(task: Task, signal: AbortSignal, walk: (sends: FanOut) => Promise<ComputeResult>): Promise<ComputeResult> {
    try {
      return await walk(new FanOut(signal));
    } catch (error) {
      await this.compute.dropPasses();
      throw error;
    } finally {
      this.inbox.close(task.task);
    }
  }

  private async backward(task: Task, { op, microbatch }: StageAction, sends: FanOut, signal: AbortSignal): Promise<number> {
    if (op === 'F') throw new Error('a forward pass is no backward pass');
    const gradient = op === 'W' ? undefined : await this.input(task, 'activation-gradient', microbatch, signal);
    const { inputGradient, computeMs } = await this.compute.backward(op, microbatch, gradient, signal);
    if (op !== 'W') this.pass(task, 'activation-gradient', microbatch, inputGradient, sends);
    return computeMs;
  }

  /** Data and loss are at the ends: there is no neighbour to wait for. */
  private input(task: Task, kind: StageTensorKind, microbatch: number, signal: AbortSignal): Promise<HostTensor> | undefined {
    const atTheEnd = kind === 'activation' ? this.isFirst : this.isLast;
    return atTheEnd ? undefined : this.inbox.take(task.task, kind, microbatch, signal);
  }

  private pass(task: Task, kind: StageTensorKind, microbatch: number, output: HostTensor | undefined, sends: FanOut): void {
    const atTheEnd = kind === 'activation' ? this.isLast : this.isFirst;
    if (atTheEnd) return;
    if (output === undefined) throw new Error(`stage ${this.stage.stage} gave no ${kind} of microbatch ${microbatch}`);
    // Called off, or the session ended: whoever waits for it is told by that.
    void sends.run((signal) => this.outbox.send(task, kind, microbatch, output, signal)).catch(() => undefined);
  }
}

/** What a walk comes to. */
class Walk {
  readonly sums = { targets: 0, lossSum: 0, correct: 0 };
  computeMs = 0;

  constructor(private readonly atLoss: boolean) {}

  add(stats: BatchStats | undefined, computeMs: number): void {
    this.computeMs += computeMs;
    if (!this.atLoss) return;
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
