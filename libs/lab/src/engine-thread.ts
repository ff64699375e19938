import { Worker } from 'node:worker_threads';
import { LongtailError, type BatchStats, type EngineName } from '@longtail/core';
import { FREE, WITHDRAWN, type BuildRequest, type ComputeRequest, type EngineReply, type EngineRequest, type ThreadOptions } from './thread-channel.js';

/** Of requests that are not answered; a thread has a few. */
const TICKETS = 64;

/** Of `thread.js`. */
export type StartThread = (workerData: ThreadOptions) => Worker;

export const startThread: StartThread = (workerData) => new Worker(new URL('./thread.js', import.meta.url), { workerData });

export type ThreadResult = BatchStats | Error | 'withdrawn';

interface KnownModel {
  /** The same object each time. */
  readonly model: BuildRequest;
  isThere: boolean;
}

/** A thread with an engine, which answers in the order in which it is asked. */
export class EngineThread {
  private readonly worker: Worker;
  private readonly asked: ((reply: EngineReply) => void)[] = [];
  /** In the order in which they are built. */
  private readonly models: KnownModel[] = [];
  private readonly states = new Int32Array(new SharedArrayBuffer(TICKETS * Int32Array.BYTES_PER_ELEMENT));
  private tickets = 0;

  /** `ended`: told when it ends by itself. */
  constructor(engine: EngineName, start: StartThread, ended: () => void) {
    this.worker = start({ engine, states: this.states });
    this.worker.on('message', (reply: EngineReply) => {
      const answer = this.asked.shift()!;
      if (this.asked.length === 0) this.worker.unref();
      answer(reply);
    });
    // Its end follows.
    this.worker.on('error', () => undefined);
    this.worker.once('exit', ended);
    this.worker.unref();
  }

  /** Not answered yet. */
  get load(): number {
    return this.asked.length;
  }

  /** It computes with it. */
  has(model: BuildRequest): boolean {
    return this.models.some((known) => known.model === model && known.isThere);
  }

  /** Where that fails it never has it. */
  build(model: BuildRequest): void {
    if (this.models.some((known) => known.model === model)) return;
    const known: KnownModel = { model, isThere: false };
    this.models.push(known);
    this.post({ build: model }, (reply) => (known.isThere = !('error' in reply)));
  }

  /** Of a model that it has. Returns by what it may be withdrawn. */
  compute(model: BuildRequest, request: Omit<ComputeRequest, 'stage' | 'ticket'>, answered: (result: ThreadResult) => void): number {
    const stage = this.models.findIndex((known) => known.model === model);
    const ticket = this.tickets++ % TICKETS;
    this.states[ticket] = FREE;
    this.post({ compute: { ...request, stage, ticket } }, (reply) => answered('error' in reply ? LongtailError.fromWire(reply.error) : (reply.stats ?? 'withdrawn')));
    return ticket;
  }

  /** False: it began with it. */
  withdraw(ticket: number): boolean {
    return Atomics.compareExchange(this.states, ticket, FREE, WITHDRAWN) === FREE;
  }

  private post(request: EngineRequest, answered: (reply: EngineReply) => void): void {
    // Whoever waits for an answer lives that long.
    if (this.asked.length === 0) this.worker.ref();
    this.asked.push(answered);
    this.worker.postMessage(request);
  }
}
