import { availableParallelism, freemem, totalmem } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import type { Batch, BatchStats, EngineName } from '@longtail/core';
import type { BegunGradient } from '@longtail/simulator';
import { EngineThread, startThread, type StartThread } from './engine-thread.js';
import type { BuildRequest } from './thread-channel.js';

/** That a thread takes with an engine and no model. */
const ENGINE_BYTES = 100 * 2 ** 20;
/** That a thread is given at most: what it is at, and what it finds when that is done. */
const DEPTH = 2;

/** A batch to compute. Parameters do not change before its result is taken or dropped. */
export interface Work {
  /** Of one and the same model the same object each time. */
  readonly model: BuildRequest;
  readonly parameters: Float32Array;
  /** Parameters of the same object are the same; undefined: nobody knows. */
  readonly of: object | undefined;
  /** Has a gradient, rather than statistics alone. */
  readonly hasGradient: boolean;
  batch(): Batch;
  /** Computes it on this thread. */
  here(out: Float32Array | undefined): Promise<BatchStats> | BatchStats;
}

/** Parameters where all threads can read them. */
interface SharedVersion {
  readonly values: Float32Array;
  readonly of: object | undefined;
  readonly number: number;
  /** Work under way with them. */
  users: number;
}

/**
 * Threads with an engine each, which compute whole batches while virtual time passes on this one; where that waits for a result, this one computes another batch. The bits are
 * the same, whichever does, and a thread that ends leaves its work to the others. They are kept from arm to arm. A version of parameters is copied once, to memory that all
 * threads read, and gradients come back in such memory.
 */
export class EngineThreads {
  /** Of the machine, that this process may use now. */
  private processors = 1;
  /** For which the arm has work, and memory. */
  private most = 1;
  private model: BuildRequest | undefined;
  /** Bytes that may be used for it all. */
  private memory = 0;
  /** Asked for, and neither taken nor dropped. */
  private readonly open = new Set<Task>();
  private readonly threads: EngineThread[] = [];
  /** That no thread has. */
  private readonly queue: Task[] = [];
  /** That threads have, and may not have begun. */
  private readonly given = new Map<Task, EngineThread>();
  private versions: SharedVersion[] = [];
  private lastVersion = 0;
  private spare: Float32Array[] = [];
  private line: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly engine: EngineName,
    private readonly start: StartThread = startThread,
  ) {}

  /** So many processors, from now on. */
  use(processors: number): void {
    this.processors = processors;
    this.complete();
  }

  /** An arm begins, with at most so many batches to compute at a time. Threads that it lacks start. */
  begin(most: number): void {
    this.most = most;
    this.model = undefined;
    // One that failed took leave of nothing.
    for (const task of this.open) task.drop();
    [this.versions, this.spare] = [[], []];
    this.complete();
  }

  /** The arm's model: threads compute with it as soon as they have it. `bytes`: what it takes on a thread with the arm's batches. */
  prepare(model: BuildRequest, bytes: number): void {
    this.model = model;
    // Systems that count what they could drop at once as used have a quarter in any case.
    this.memory = (Math.max(freemem(), totalmem() / 4) * this.processors) / availableParallelism();
    this.most = Math.min(this.most, 1 + Math.floor(this.memory / 2 / (ENGINE_BYTES + bytes)));
    this.complete();
  }

  /** Undefined: this thread is the only one that computes with the model, or there is no memory for more results. */
  ask(work: Work): Task | undefined {
    if (this.open.size * work.parameters.byteLength > this.memory / 2) return undefined;
    if (!this.threads.slice(0, this.limit).some((thread) => thread.has(work.model))) return undefined;
    const task = new Task(this, work);
    this.open.add(task);
    this.queue.push(task);
    this.dispatch();
    return task;
  }

  /** Settles after what was wanted before it. */
  want(task: Task): Promise<BatchStats> {
    const turn = this.line.then(async () => {
      for (let next = this.claim(task); next !== undefined; next = this.claim(task)) {
        await next.computeHere(this.vector(next.work));
        await setImmediate(); // what others did is heard of
      }
      return task.done;
    });
    this.line = turn.catch(() => undefined).then(() => this.open.delete(task));
    return turn;
  }

  /** That task, or else one that nobody has begun, while that one is not done: nobody else computes it from now on. */
  private claim(task: Task): Task | undefined {
    return task.isDone ? undefined : [task, this.queue[0] ?? task, ...this.given.keys()].find((other) => this.withdraw(other));
  }

  /** False: it is begun, or done. */
  private withdraw(task: Task): boolean {
    const at = this.queue.indexOf(task);
    if (at >= 0) this.queue.splice(at, 1);
    if (at < 0 && !this.given.get(task)?.withdraw(task.ticket)) return false;
    task.isOurs = true;
    return true;
  }

  forget(task: Task): void {
    this.open.delete(task);
    if (!task.isDone) this.withdraw(task);
  }

  putBack(vector: Float32Array | undefined): void {
    if (vector !== undefined) this.spare.push(vector);
  }

  /** Beside this one. TensorFlow's do not end cleanly. */
  private get limit(): number {
    return this.engine === 'tensorflow' ? 0 : Math.max(0, Math.min(this.processors, this.most) - 1);
  }

  private complete(): void {
    while (this.threads.length < this.limit) {
      const thread: EngineThread = new EngineThread(this.engine, this.start, () => this.lose(thread));
      this.threads.push(thread);
    }
    if (this.model !== undefined) for (const thread of this.threads.slice(0, this.limit)) thread.build(this.model);
  }

  private dispatch(): void {
    for (let task = this.queue[0]; task !== undefined; task = this.queue[0]) {
      const { model } = task.work;
      const threads = this.threads.slice(0, this.limit).filter((thread) => thread.has(model) && thread.load < DEPTH);
      if (threads.length === 0) return;
      this.queue.shift();
      this.give(task, threads.reduce((a, b) => (b.load < a.load ? b : a)));
    }
  }

  private give(task: Task, thread: EngineThread): void {
    const { model, parameters, of } = task.work;
    const version = this.share(parameters, of);
    const gradient = this.vector(task.work);
    version.users++;
    this.given.set(task, thread);
    task.ticket = thread.compute(model, { version: version.number, parameters: version.values, batch: task.work.batch(), gradient }, (result) => {
      version.users--;
      this.given.delete(task);
      if (result === 'withdrawn') this.putBack(gradient);
      else task.settle(result, gradient);
      this.dispatch();
    });
  }

  private share(parameters: Float32Array, of: object | undefined): SharedVersion {
    const known = of === undefined ? undefined : this.versions.find((version) => version.of === of);
    if (known !== undefined) return known;
    const unused = this.versions.findIndex(({ users, values }) => users === 0 && values.length === parameters.length);
    const [reused] = unused < 0 ? [] : this.versions.splice(unused, 1);
    const values = reused?.values ?? sharedVector(parameters.length);
    values.set(parameters);
    const version = { values, of, number: ++this.lastVersion, users: 0 };
    this.versions.push(version);
    return version;
  }

  private vector({ hasGradient, parameters: { length } }: Work): Float32Array | undefined {
    if (!hasGradient) return undefined;
    const at = this.spare.findIndex((vector) => vector.length === length);
    return at < 0 ? sharedVector(length) : this.spare.splice(at, 1)[0];
  }

  /** What it had is computed here, as somebody may wait for it. Another one starts with the next arm. */
  private lose(thread: EngineThread): void {
    this.threads.splice(this.threads.indexOf(thread), 1);
    for (const [task, at] of this.given) {
      if (at !== thread) continue;
      this.given.delete(task);
      if (this.open.has(task) && !task.isOurs) void task.computeHere(this.vector(task.work));
    }
  }
}

/** Work that somebody asked for. */
export class Task implements BegunGradient {
  /** By which its thread knows it. */
  ticket = 0;
  isDone = false;
  /** This thread computes it, or nobody does. */
  isOurs = false;
  readonly done: Promise<BatchStats>;
  private resolve!: (stats: BatchStats) => void;
  private reject!: (reason: unknown) => void;
  private gradient: Float32Array | undefined;
  private isDropped = false;

  constructor(
    private readonly threads: EngineThreads,
    readonly work: Work,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Nobody waits for what is dropped.
    this.done.catch(() => undefined);
  }

  async take(out: Float32Array): Promise<BatchStats> {
    const stats = await this.threads.want(this);
    out.set(this.gradient!);
    this.threads.putBack(this.gradient);
    return stats;
  }

  dropUnless(passed: Promise<unknown>): void {
    passed.catch(() => this.drop());
  }

  drop(): void {
    this.isDropped = true;
    this.threads.putBack(this.gradient);
    this.threads.forget(this);
  }

  async computeHere(out: Float32Array | undefined): Promise<void> {
    try {
      this.settle(await this.work.here(out), out);
    } catch (error) {
      this.settle(error as Error, out);
    }
  }

  settle(result: BatchStats | Error, gradient: Float32Array | undefined): void {
    this.isDone = true;
    if (this.isDropped || result instanceof Error) this.threads.putBack(gradient);
    else this.gradient = gradient;
    if (result instanceof Error) this.reject(result);
    else this.resolve(result);
  }
}

function sharedVector(length: number): Float32Array {
  return new Float32Array(new SharedArrayBuffer(length * Float32Array.BYTES_PER_ELEMENT));
}
