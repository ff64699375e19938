import type { BatchStats, Compute, ComputeResult, VectorRange } from '@longtail/core';
import type { Task } from '@longtail/protocol';
import type { WorkerInbox } from './worker-inbox.js';

interface StreamWork {
  readonly task: Task;
  readonly abort: AbortController;
  readonly stop: AbortController;
}

/** What came and is to be mixed in. */
interface Mix {
  readonly prepared: Promise<void>;
  ready: boolean;
}

/**
 * Local steps that go on from task to task. What comes of the server's parameters meanwhile is worked out beside them and mixed
 * in between two steps: a call of the device ends for it after the step under way, and another one goes on.
 */
export class StreamRunner {
  /** How to mix, while the device goes on from where the last task ended. */
  private mixing: number | undefined;
  /** The last step was taken, and no move so far: what comes now is mixed in behind it. */
  private closed = false;
  private mix: Mix | undefined;
  private piece: AbortController | undefined;

  constructor(
    private readonly compute: Compute,
    private readonly inbox: WorkerInbox,
    /** Nothing is written to the parameters before the call is done. */
    private readonly undisturbed: (call: Promise<void>) => Promise<void>,
  ) {}

  mayBegin({ version }: Task): boolean {
    return this.mixing !== undefined || this.inbox.hasReached(version);
  }

  /** The device was given something else, or what it brought home was not taken: the next task begins with the server's parameters. */
  end(): void {
    this.mixing = undefined;
  }

  /** Something came. */
  arrived(): void {
    if (this.mixing === undefined || this.closed || this.mix !== undefined || !this.inbox.hasArrived) return;
    const prepared = this.undisturbed(this.compute.prepareMix(this.inbox.takeArrived(), this.mixing));
    const mix: Mix = { prepared, ready: false };
    this.mix = mix;
    void prepared.then(
      () => {
        mix.ready = true;
        this.piece?.abort(PIECE_ENDED);
      },
      () => undefined, // whoever applies it hears of it
    );
  }

  /** After an abort the device's parameters count for nothing. */
  async steps({ task, abort, stop }: StreamWork, onStep: (stats: BatchStats) => void): Promise<ComputeResult & { steps: number }> {
    await this.begin(task);
    this.closed = false;
    const batches = task.steps.map(({ ranges, learningRate }) => ({ ranges, hyper: { learningRate } }));
    let total = NO_STEPS;
    while (total.steps < batches.length && !stop.signal.aborted) {
      const mixed = this.applyMix();
      this.arrived();
      const before = total;
      const piece = (this.piece = new AbortController());
      const request = { batches: batches.slice(before.steps), result: 'nothing', stop: piece.signal } as const;
      // Not `AbortSignal.any`, which holds what it made until it is collected, and takes several times as long.
      const end = () => piece.abort(PIECE_ENDED);
      stop.signal.addEventListener('abort', end);
      const stepped = this.compute.localSteps(request, (_, stats) => onStep(sum(before, stats)), abort.signal);
      const [done] = await Promise.all([stepped, mixed]).finally(() => stop.signal.removeEventListener('abort', end));
      this.piece = undefined;
      total = { ...sum(before, done), steps: before.steps + done.steps, computeMs: before.computeMs + done.computeMs };
    }
    this.closed = true;
    return total;
  }

  /** Resolves once steps that come next are not part of the move any more, with when it is there. */
  async take(parts: readonly VectorRange[], signal: AbortSignal): Promise<{ readonly there: Promise<void> }> {
    if (this.mix !== undefined) await this.mix.prepared;
    signal.throwIfAborted();
    const mixed = this.applyMix();
    const taken = this.compute.takeStreamMove(parts);
    this.closed = false;
    this.arrived();
    return { there: Promise.all([mixed, taken]).then(() => undefined) };
  }

  /** Does nothing where nothing is ready. */
  private applyMix(): Promise<void> | undefined {
    if (!this.mix?.ready) return undefined;
    this.mix = undefined;
    return this.compute.applyMix();
  }

  private async begin({ mixing }: Task): Promise<void> {
    if (this.mixing !== undefined) return;
    this.mix = undefined;
    await this.undisturbed(this.inbox.startStream());
    this.mixing = mixing;
  }
}

/** Given so that no DOMException with a stack is made for every piece. */
const PIECE_ENDED = new Error('other steps go on from here');

const NO_STEPS = { samples: 0, targets: 0, lossSum: 0, correct: 0, computeMs: 0, steps: 0 };

function sum(a: BatchStats, b: BatchStats): BatchStats {
  return { samples: a.samples + b.samples, targets: a.targets + b.targets, lossSum: a.lossSum + b.lossSum, correct: a.correct + b.correct };
}
