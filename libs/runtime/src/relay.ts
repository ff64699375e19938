import type { OutgoingTensor, TensorChunk } from '@longtail/core';
import { FanOut } from './fan-out.js';
import type { ServerConnection } from './ports.js';

/** Chunks on their way to one worker without its word that it has them. */
const AHEAD = 16;

/**
 * Passes chunks that other stages send to a worker on to it, undecoded, each as a tensor of its own that says where its
 * values lie. Bounded: whoever sends more than the worker takes is held up.
 */
export class Relay {
  private onTheWay = 0;
  private readonly waiting: (() => void)[] = [];
  /** Undefined: none so far, as with all whose neighbours are reached directly, or who have none. */
  private tasks: Map<number, FanOut> | undefined;
  private closed = false;

  constructor(private readonly connection: Pick<ServerConnection, 'sendTensor'>) {}

  /** Resolves when there is room for the next chunk. */
  async forward({ header, payload }: TensorChunk): Promise<void> {
    if (this.closed) return;
    const sends = this.ofTask(header.task);
    while (this.onTheWay >= AHEAD && !sends.aborted) await new Promise<void>((resolve) => this.waiting.push(resolve));
    if (sends.aborted) return;
    this.onTheWay++;
    const { run, kind, stage, fragment, task, round, baseVersion, samples, codec, name, step, to } = header;
    const tensor: OutgoingTensor = {
      header: { run, kind, stage, fragment, task, round, baseVersion, samples, codec, name, start: header.start + header.offset, step, to },
      length: header.length,
      chunkLength: header.length,
      chunk: () => payload,
    };
    // Where it was given up, or the link ended, the task's end says so.
    const over = () => {
      this.onTheWay--;
      this.waiting.shift()?.();
    };
    sends.run((signal) => this.connection.sendTensor(tensor, signal)).then(over, over);
  }

  /** The task is over: what is on its way for it is given up. */
  drop(task: number): void {
    const sends = this.tasks?.get(task);
    if (sends === undefined) return;
    sends.abort(OVER);
    this.tasks!.delete(task);
    for (const wake of this.waiting.splice(0)) wake();
  }

  close(): void {
    this.closed = true;
    for (const task of [...(this.tasks?.keys() ?? [])]) this.drop(task);
  }

  private ofTask(task: number): FanOut {
    const tasks = (this.tasks ??= new Map<number, FanOut>());
    let sends = tasks.get(task);
    if (sends === undefined) tasks.set(task, (sends = new FanOut()));
    return sends;
  }
}

/** One for all, so that no stack is made for every task. */
const OVER = new Error('the task is over');
