import type { BatchStats, Compute, ComputeResult } from '@longtail/core';
import type { Task } from '@longtail/protocol';
import type { WorkerInbox } from './worker-inbox.js';

interface StreamWork {
  readonly task: Task;
  readonly abort: AbortController;
  readonly stop: AbortController;
}

/**
 * Local steps that go on from task to task. What comes of the server's parameters meanwhile is mixed in between two steps: a
 * call of the device ends for it after the step under way, and another one goes on.
 */
export class StreamRunner {
  /** The device goes on from where the last task ended. */
  private flowing = false;
  private piece: AbortController | undefined;

  constructor(
    private readonly compute: Compute,
    private readonly inbox: WorkerInbox,
    /** Nothing is written to the parameters before the call is done. */
    private readonly undisturbed: (call: Promise<void>) => Promise<void>,
  ) {}

  mayBegin({ version }: Task): boolean {
    return this.flowing || this.inbox.hasReached(version);
  }

  /** The device was given something else, or what it brought home was not taken: the next task begins with the server's parameters. */
  end(): void {
    this.flowing = false;
  }

  /** Something came. */
  arrived(): void {
    if (this.inbox.hasArrived) this.piece?.abort();
  }

  /** After an abort the device's parameters count for nothing. */
  async steps(
    { task, abort, stop }: StreamWork,
    onStep: (stats: BatchStats) => void,
  ): Promise<ComputeResult & { steps: number }> {
    await this.begin();
    const batches = task.steps.map(({ ranges, learningRate }) => ({ ranges, hyper: { learningRate } }));
    let total = NO_STEPS;
    while (total.steps < batches.length && !stop.signal.aborted) {
      if (this.inbox.hasArrived) {
        await this.undisturbed(this.compute.mixStream(this.inbox.takeArrived(), task.mixing));
        continue;
      }
      const before = total;
      this.piece = new AbortController();
      const request = { batches: batches.slice(before.steps), result: 'nothing', stop: AbortSignal.any([stop.signal, this.piece.signal]) } as const;
      const done = await this.compute.localSteps(request, (_, stats) => onStep(sum(before, stats)), abort.signal);
      this.piece = undefined;
      total = { ...sum(before, done), steps: before.steps + done.steps, computeMs: before.computeMs + done.computeMs };
    }
    return total;
  }

  private async begin(): Promise<void> {
    if (this.flowing) return;
    await this.undisturbed(this.inbox.startStream());
    this.flowing = true;
  }
}

const NO_STEPS = { samples: 0, targets: 0, lossSum: 0, correct: 0, computeMs: 0, steps: 0 };

function sum(a: BatchStats, b: BatchStats): BatchStats {
  return { samples: a.samples + b.samples, targets: a.targets + b.targets, lossSum: a.lossSum + b.lossSum, correct: a.correct + b.correct };
}
