import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { LongtailError, type BenchArm, type EngineName, type WireError } from '@longtail/core';
import { nativeEnvironment } from '@longtail/engine/native';
import type { ArmTask } from './run-arm.js';

export type ArmReply = { readonly kind: 'done'; readonly arm: BenchArm } | { readonly kind: 'failed'; readonly error: WireError };

interface Queued {
  readonly task: ArmTask;
  resolve(arm: BenchArm): void;
  reject(error: unknown): void;
}

/** Processes that run arms, one each at a time. A process begins with its first arm, and keeps engine and data for the next ones. */
export class ArmPool {
  private readonly queue: Queued[] = [];
  private readonly idle: ChildProcess[] = [];
  private readonly busy = new Map<ChildProcess, Queued>();
  private closed = false;

  constructor(
    private readonly processes: number,
    private readonly engine: EngineName,
  ) {}

  readonly run = (task: ArmTask): Promise<BenchArm> =>
    new Promise((resolve, reject) => {
      this.queue.push({ task, resolve, reject });
      this.next();
    });

  /** Arms under way are given up. */
  close(): void {
    this.closed = true;
    const error = new LongtailError('interrupted', { code: 'cancelled' });
    for (const { reject } of [...this.queue.splice(0), ...this.busy.values()]) reject(error);
    for (const child of [...this.idle, ...this.busy.keys()]) child.kill('SIGKILL');
  }

  private next(): void {
    while (!this.closed && this.queue.length > 0) {
      const child = this.idle.pop() ?? (this.busy.size < this.processes ? this.start() : undefined);
      if (child === undefined) return;
      const queued = this.queue.shift()!;
      this.busy.set(child, queued);
      child.send(queued.task);
    }
  }

  private start(): ChildProcess {
    const child = fork(fileURLToPath(new URL('./arm-process.js', import.meta.url)), [this.engine], {
      env: { ...process.env, ...nativeEnvironment() },
      serialization: 'advanced',
    });
    child.on('message', (reply: ArmReply) => {
      const { resolve, reject } = this.busy.get(child)!;
      this.busy.delete(child);
      this.idle.push(child);
      if (reply.kind === 'done') resolve(reply.arm);
      else reject(LongtailError.fromWire(reply.error));
      this.next();
    });
    child.once('exit', (code, signal) => {
      const arm = this.busy.get(child);
      arm?.reject(new LongtailError(`the process of ${arm.task.arm.name} ended with ${signal ?? code}`, { code: 'engine', hint: 'Its memory may not have sufficed: run fewer at once with --jobs.' }));
    });
    return child;
  }
}
