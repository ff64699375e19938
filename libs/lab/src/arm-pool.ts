import { fork, type ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { LongtailError, type BenchArm, type BenchMode, type EngineName, type WireError } from '@longtail/core';
import { nativeEnvironment } from '@longtail/engine/native';
import { ROOM_FOR_VECTORS, roomForTheYoung } from '@longtail/simulator/v8-options';
import type { JobDocument } from '@longtail/spec';
import type { DeviceLine } from './measure-device.js';
import type { ArmTask, TellPart } from './run-arm.js';

/** An arm to run, a job whose time here is to be measured, or how fast a small network trains here. */
export type PoolRequest = { readonly arm: ArmTask } | { readonly measure: JobDocument } | { readonly gflops: true };
/** That a process may use from now on. */
export interface Processors {
  readonly processors: number;
}
export type PoolReply = { readonly kind: 'done'; readonly value: unknown } | { readonly kind: 'failed'; readonly error: WireError } | { readonly kind: 'part'; readonly part: number };

interface Queued {
  readonly request: PoolRequest;
  readonly tell: TellPart | undefined;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

const INTERRUPTED = new LongtailError('interrupted', { code: 'cancelled' });

class ProcessEnded extends LongtailError {
  constructor(how: string) {
    super(`a process of the bench ended with ${how}`, { code: 'engine', hint: 'Its memory may not have sufficed: run fewer at once with --jobs.' });
  }
}

/**
 * Processes that run arms, one each at a time. A process begins with its first arm, and keeps engine and data for the next ones. Processors of the machine are divided among those
 * that are at work, anew as arms begin and end.
 */
export class ArmPool {
  private readonly queue: Queued[] = [];
  private readonly idle: ChildProcess[] = [];
  private readonly busy = new Map<ChildProcess, Queued>();
  private closed = false;

  constructor(
    private readonly processes: number,
    private readonly engine: EngineName,
    private readonly mode: BenchMode | 'both',
    /** Of an arm, about. */
    private readonly nodes: number,
  ) {}

  /** An arm whose process ends under it has failed; the others go on in another one. */
  readonly run = async (task: ArmTask, tell?: TellPart): Promise<BenchArm> => {
    try {
      return (await this.ask({ arm: task }, tell)) as BenchArm;
    } catch (error) {
      if (!(error instanceof ProcessEnded)) throw error;
      const { arm, seed, knob } = task;
      return { name: arm.name, settings: arm.settings, seed, knob, outcome: { status: 'failed', reason: `${error.message}. ${error.hint}` } };
    }
  };

  measure(job: JobDocument): Promise<DeviceLine> {
    return this.ask({ measure: job }) as Promise<DeviceLine>;
  }

  /** Effective, of one thread. */
  gflops(): Promise<number> {
    return this.ask({ gflops: true }) as Promise<number>;
  }

  /** Arms under way are given up. */
  close(): void {
    this.closed = true;
    for (const { reject } of [...this.queue.splice(0), ...this.busy.values()]) reject(INTERRUPTED);
    for (const child of [...this.idle, ...this.busy.keys()]) child.kill('SIGKILL');
  }

  private ask(request: PoolRequest, tell?: TellPart): Promise<unknown> {
    if (this.closed) return Promise.reject(INTERRUPTED);
    return new Promise((resolve, reject) => {
      this.queue.push({ request, tell, resolve, reject });
      // When all are in line that are asked for at once, it is known how many share the processors.
      queueMicrotask(() => this.next());
    });
  }

  private next(): void {
    if (this.closed) return;
    const begun: ChildProcess[] = [];
    while (this.queue.length > 0) {
      const child = this.idle.pop() ?? (this.busy.size < this.processes ? this.start() : undefined);
      if (child === undefined) break;
      this.busy.set(child, this.queue.shift()!);
      begun.push(child);
    }
    const share = { processors: Math.max(1, Math.floor(availableParallelism() / this.busy.size)) } satisfies Processors;
    // One that has just ended need not hear of it.
    for (const child of this.busy.keys()) child.send(share, () => undefined);
    for (const child of begun) child.send(this.busy.get(child)!.request);
  }

  private start(): ChildProcess {
    const child = fork(fileURLToPath(new URL('./arm-process.js', import.meta.url)), [this.engine], {
      env: { ...process.env, ...nativeEnvironment() },
      execArgv: [...process.execArgv, ...(this.mode === 'timing' ? roomForTheYoung(this.nodes) : ROOM_FOR_VECTORS)],
      serialization: 'advanced',
    });
    child.on('message', (reply: PoolReply) => {
      const { tell, resolve, reject } = this.busy.get(child)!;
      if (reply.kind === 'part') return tell?.(reply.part);
      this.busy.delete(child);
      this.idle.push(child);
      if (reply.kind === 'done') resolve(reply.value);
      else reject(LongtailError.fromWire(reply.error));
      this.next();
    });
    child.once('exit', (code, signal) => {
      this.busy.get(child)?.reject(new ProcessEnded(String(signal ?? code)));
      this.busy.delete(child);
      if (this.idle.includes(child)) this.idle.splice(this.idle.indexOf(child), 1);
      this.next();
    });
    return child;
  }
}
