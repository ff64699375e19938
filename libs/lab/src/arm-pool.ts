import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { LongtailError, type BenchArm, type EngineName, type WireError } from '@longtail/core';
import { nativeEnvironment } from '@longtail/engine/native';
import type { JobDocument } from '@longtail/spec';
import type { DeviceLine } from './measure-device.js';
import type { ArmTask } from './run-arm.js';

/** An arm to run, or a job whose time here is to be measured. */
export type PoolRequest = { readonly arm: ArmTask } | { readonly measure: JobDocument };
export type PoolReply = { readonly kind: 'done'; readonly value: unknown } | { readonly kind: 'failed'; readonly error: WireError };

interface Queued {
  readonly request: PoolRequest;
  resolve(value: unknown): void;
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

  readonly run = (task: ArmTask): Promise<BenchArm> => this.ask({ arm: task }) as Promise<BenchArm>;

  measure(job: JobDocument): Promise<DeviceLine> {
    return this.ask({ measure: job }) as Promise<DeviceLine>;
  }

  /** Arms under way are given up. */
  close(): void {
    this.closed = true;
    const error = new LongtailError('interrupted', { code: 'cancelled' });
    for (const { reject } of [...this.queue.splice(0), ...this.busy.values()]) reject(error);
    for (const child of [...this.idle, ...this.busy.keys()]) child.kill('SIGKILL');
  }

  private ask(request: PoolRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.queue.push({ request, resolve, reject });
      this.next();
    });
  }

  private next(): void {
    while (!this.closed && this.queue.length > 0) {
      const child = this.idle.pop() ?? (this.busy.size < this.processes ? this.start() : undefined);
      if (child === undefined) return;
      const queued = this.queue.shift()!;
      this.busy.set(child, queued);
      child.send(queued.request);
    }
  }

  private start(): ChildProcess {
    const child = fork(fileURLToPath(new URL('./arm-process.js', import.meta.url)), [this.engine], {
      env: { ...process.env, ...nativeEnvironment() },
      serialization: 'advanced',
    });
    child.on('message', (reply: PoolReply) => {
      const { resolve, reject } = this.busy.get(child)!;
      this.busy.delete(child);
      this.idle.push(child);
      if (reply.kind === 'done') resolve(reply.value);
      else reject(LongtailError.fromWire(reply.error));
      this.next();
    });
    child.once('exit', (code, signal) => {
      this.busy.get(child)?.reject(new LongtailError(`a process of the bench ended with ${signal ?? code}`, { code: 'engine', hint: 'Its memory may not have sufficed: run fewer at once with --jobs.' }));
    });
    return child;
  }
}
