import { Worker } from 'node:worker_threads';
import { LongtailError, type BenchArm, type EngineName, type WireError } from '@longtail/core';
import type { ArmTask } from './run-arm.js';

export type ArmReply = { readonly kind: 'done'; readonly arm: BenchArm } | { readonly kind: 'failed'; readonly error: WireError };

interface Queued {
  readonly task: ArmTask;
  resolve(arm: BenchArm): void;
  reject(error: unknown): void;
}

/** Threads that run arms, one each at a time. A thread begins with its first arm, and keeps engine and data for the next ones. */
export class ArmPool {
  private readonly queue: Queued[] = [];
  private readonly idle: Worker[] = [];
  private readonly busy = new Map<Worker, Queued>();
  private closed = false;

  constructor(
    private readonly threads: number,
    private readonly engine: EngineName,
  ) {}

  readonly run = (task: ArmTask): Promise<BenchArm> =>
    new Promise((resolve, reject) => {
      this.queue.push({ task, resolve, reject });
      this.next();
    });

  /** Arms under way are given up. */
  async close(): Promise<void> {
    this.closed = true;
    const error = new LongtailError('interrupted', { code: 'cancelled' });
    for (const { reject } of [...this.queue.splice(0), ...this.busy.values()]) reject(error);
    await Promise.all([...this.idle, ...this.busy.keys()].map((thread) => thread.terminate()));
  }

  private next(): void {
    while (!this.closed && this.queue.length > 0) {
      const thread = this.idle.pop() ?? (this.busy.size < this.threads ? this.start() : undefined);
      if (thread === undefined) return;
      const queued = this.queue.shift()!;
      this.busy.set(thread, queued);
      thread.postMessage(queued.task);
    }
  }

  private start(): Worker {
    const thread = new Worker(new URL('./arm-thread.js', import.meta.url), { workerData: this.engine });
    thread.on('message', (reply: ArmReply) => {
      const { resolve, reject } = this.busy.get(thread)!;
      this.busy.delete(thread);
      this.idle.push(thread);
      if (reply.kind === 'done') resolve(reply.arm);
      else reject(LongtailError.fromWire(reply.error));
      this.next();
    });
    thread.on('error', (error) => this.busy.get(thread)?.reject(error));
    return thread;
  }
}
