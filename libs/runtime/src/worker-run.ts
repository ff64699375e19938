import {
  LongtailError,
  moduleOf,
  type AllocateTensor,
  type BatchStats,
  type BlockRange,
  type Codec,
  type Compute,
  type ComputeResult,
  type Job,
  type LocalStepsResult,
  type PeerNetwork,
  type Prepared,
  type StageUse,
  type TensorChunk,
} from '@longtail/core';
import type { CancelTask, Prepare, Receipt, Task, WorkerMessage } from '@longtail/protocol';
import { Bell } from './bell.js';
import { Deliveries } from './deliveries.js';
import { DeviceUse } from './device-use.js';
import { FileIntake } from './file-intake.js';
import { KnownCodecs } from './known-codecs.js';
import { countSamples } from './microbatches.js';
import type { CreateFeedback, FileCache, WorkerConnection } from './ports.js';
import { isStageTensor, StageInbox } from './stage-inbox.js';
import { StageOutbox } from './stage-outbox.js';
import { StageRunner } from './stage-runner.js';
import { StreamRunner } from './stream-runner.js';
import { WorkerInbox } from './worker-inbox.js';
import { WorkerOutbox } from './worker-outbox.js';
import type { WorkerEvent } from './worker-events.js';
import type { Clock } from '@longtail/core';

export interface WorkerRunContext {
  readonly connection: WorkerConnection;
  readonly compute: Compute;
  readonly fileCache: FileCache;
  readonly codecs: readonly Codec[];
  createFeedback: CreateFeedback;
  crc32c(bytes: Uint8Array): number;
  readonly allocate?: AllocateTensor;
  readonly clock: Clock;
  readonly chunkLength: number;
  /** Direct links to neighbours in a pipeline; undefined: everything goes through the server. */
  readonly peers?: PeerNetwork;
  send(message: WorkerMessage): void;
  /** @default nobody listens */
  readonly log?: ((event: WorkerEvent) => void) | undefined;
}

/** More tasks than the server ever gives ahead. */
const MAX_QUEUED_TASKS = 8;
const PROGRESS_EVERY_MS = 500;
const SOON = Promise.resolve();

class Work {
  private stopping: AbortController | undefined;
  isDropped = false;

  /** `abort`: of what is done for it. */
  constructor(
    readonly task: Task,
    readonly abort: AbortController,
  ) {}

  drop(reason: Error): void {
    this.isDropped = true;
    this.abort.abort(reason);
  }

  /** Local steps: end after the step under way. */
  get stop(): AbortController {
    return (this.stopping ??= new AbortController());
  }
}

/** A worker's part in one run: prepares, then does its tasks one after the other. */
export class WorkerRun {
  readonly run: string;
  /** Resolves when the run has let go of the device. Never rejects. */
  readonly stopped: Promise<void>;
  private readonly job: Job;
  private readonly lifetime = new AbortController();
  /** Its lifetime is over; a signal takes longer to ask. */
  private isEnding = false;
  private resolveOver!: () => void;
  /** Resolves when it is to end. */
  private readonly over = new Promise<void>((resolve) => (this.resolveOver = resolve));
  /** For who waits for receipts. */
  private receipts: Bell | undefined;
  private readonly files: FileIntake;
  private queue: Work[] = [];
  /** Of a task that is over and was not dropped, for the next one: to make it takes longer than anything else that a small task does. */
  private spareAbort: AbortController | undefined;
  private working: Work | undefined;
  /** For who waits until no task is under way. */
  private atRest: (() => void) | undefined;
  /** When the inputs of the task under way were there. */
  private startedAtMs = 0;
  private readonly device = new DeviceUse();
  private prepared: Prepared | undefined;
  /** It is prepared, and the server knows. */
  private mayBegin = false;
  private looksSoon = false;
  private inbox: WorkerInbox | undefined;
  // Of the context, as each task of thousands of workers would have to fetch them from elsewhere.
  private readonly compute: Compute;
  private readonly clock: Clock;
  private readonly send: WorkerRunContext['send'];
  private readonly log: WorkerRunContext['log'];
  /** Undefined for a solo worker. */
  private readonly stageInbox: StageInbox | undefined;
  private stageOutbox: StageOutbox | undefined;
  private runner: StageRunner | undefined;
  private outbox: WorkerOutbox | undefined;
  private deliveries: Deliveries | undefined;
  /** Once it was given local steps that go on from task to task. */
  private stream: StreamRunner | undefined;

  /** `before` resolves when the device is free. */
  constructor(
    private readonly prepare: Prepare,
    private readonly context: WorkerRunContext,
    before: Promise<void>,
  ) {
    this.compute = context.compute;
    this.clock = context.clock;
    this.send = context.send;
    this.log = context.log;
    this.run = prepare.run;
    this.job = JSON.parse(prepare.jobJson) as Job;
    this.files = new FileIntake(context.fileCache, (sha256) => context.send({ message: 'fileRequest', fileRequest: { sha256 } }));
    const { workers, afterTask } = prepare.place;
    this.stageInbox = workers > 1 ? new StageInbox(context.codecs, afterTask) : undefined;
    this.stopped = before.then(() => this.live());
  }

  /** Ends the run: what is under way is dropped. */
  end(reason: string): void {
    const error = new LongtailError(reason, { code: 'cancelled' });
    this.isEnding = true;
    this.lifetime.abort(error);
    this.working?.drop(error);
    this.deliveries?.callOff(error);
    this.resolveOver();
  }

  /** What tensors make of the direct links to neighbours; undefined: it has none. */
  get peerRates(): ReturnType<StageOutbox['rates']> | undefined {
    return this.stageOutbox?.rates();
  }

  // ---- what the server says

  onTask(task: Task): void {
    if (this.queue.length >= MAX_QUEUED_TASKS) throw new LongtailError(`more than ${MAX_QUEUED_TASKS} tasks queued`, { code: 'protocol' });
    const work = new Work(task, this.spareAbort ?? new AbortController());
    // Where there was none, so that no room is made for many.
    if (this.queue.length === 0) this.queue = [work];
    else this.queue.push(work);
    this.spareAbort = undefined;
    this.beginNextSoon();
  }

  onCancel({ task, deliver }: CancelTask): void {
    const queued = this.queue.findIndex((work) => work.task.task === task);
    if (queued >= 0 && deliver && this.runner !== undefined) {
      // The others of the group may be at it: they end it together.
      this.queue[queued]!.stop.abort();
    } else if (queued >= 0) {
      this.queue.splice(queued, 1);
      if (deliver) this.sendDone(task, NOTHING, 0);
    } else if (this.working?.task.task === task) {
      if (deliver) this.working.stop.abort();
      else this.working.drop(CALLED_OFF);
    } else if (!deliver) {
      this.deliveries?.callOff(CALLED_OFF, task);
    }
    this.beginNextSoon();
  }

  onReceipt(receipt: Receipt): void {
    const { task, accepted, pending } = receipt;
    if (pending) return;
    const wasSent = this.deliveries?.receipt(receipt) ?? false;
    if (wasSent && !accepted) this.stream?.end();
    this.inbox?.judged(task, accepted);
    this.receipts?.ring();
  }

  /** Resolves when the chunk is put away: the next may come. */
  onTensor(chunk: TensorChunk): Promise<void> | void {
    const { kind } = chunk.header;
    if (kind === 'file') return this.files.take(chunk);
    // The device waits for these: they must not wait for the device.
    if (isStageTensor(kind)) return this.onStageTensor(chunk);
    if (!this.device.busy) return this.putAway(chunk);
    return this.device.free().then(() => this.putAway(chunk));
  }

  private putAway(chunk: TensorChunk): void {
    if (chunk.header.run !== this.run || this.isEnding) return;
    this.inbox?.take(chunk);
    this.stream?.arrived();
    this.beginNextSoon();
  }

  private onStageTensor(chunk: TensorChunk): void {
    if (chunk.header.run === this.run && !this.isEnding) this.stageInbox?.put(chunk);
  }

  // ---- the run

  private async live(): Promise<void> {
    const { signal } = this.lifetime;
    const { compute, log } = this;
    try {
      log?.({ event: 'preparing', run: this.run, job: this.job.name, module: moduleOf(this.job) });
      this.announce(await this.fetchAndPrepare(signal));
      this.mayBegin = true;
      this.beginNext();
      await this.over;
      await this.rest();
    } catch (error) {
      if (!signal.aborted) this.fail(0, error);
    }
    this.stageOutbox?.close('the run is over');
    await this.deliveries?.settled();
    await compute.release().catch((error: unknown) => this.fail(0, error));
  }

  private async fetchAndPrepare(signal: AbortSignal): Promise<Prepared> {
    const files = await this.files.fetch(this.prepare.files, signal);
    signal.throwIfAborted();
    return this.compute.prepare(this.job, files, this.stages, signal, this.use);
  }

  private get stages(): readonly BlockRange[] | 'all' {
    const { held } = this.prepare.place;
    return held[0]?.end === 0 ? 'all' : held.map(({ start, end }) => ({ start, end }));
  }

  private get use(): StageUse | undefined {
    const { workers, microbatch, inFlight, recompute } = this.prepare.place;
    return workers > 1 ? { microbatch, inFlight, recompute } : undefined;
  }

  private announce(prepared: Prepared): void {
    this.lifetime.signal.throwIfAborted();
    const { compute, clock, send, log } = this;
    const { codecs, createFeedback, connection, chunkLength, allocate } = this.context;
    const { layouts, parameters, samplesPerSecond, memoryBytes, trainSamples, validationSamples, blocks = 0 } = prepared;
    const { group, worker, afterTransfer } = this.prepare.place;
    this.prepared = prepared;
    this.inbox = new WorkerInbox(prepared, compute, codecs, chunkLength, afterTransfer);
    this.outbox = new WorkerOutbox(connection, chunkLength, worker, clock, allocate);
    const known = new KnownCodecs(codecs, this.job.sync);
    this.deliveries = new Deliveries(prepared, this.outbox, known, this.job.sync, createFeedback);
    this.openStage(known);
    const layoutsJson = JSON.stringify(layouts);
    const said = { layoutsJson, samplesPerSecond, memoryBytes, trainSamples, validationSamples, group, blocks };
    send({ message: 'ready', ready: { run: this.run, ...said } });
    log?.({ event: 'ready', run: this.run, samplesPerSecond, parameters: parameters.length });
  }

  private openStage(known: KnownCodecs): void {
    const { stageInbox } = this;
    if (stageInbox === undefined) return;
    const { connection, chunkLength, peers } = this.context;
    const { compute, prepare: { place } } = this;
    const { sync, train } = this.job;
    const codecs = { activation: known.named(sync.activationCodec ?? 'fp32'), peer: known.named('fp32') };
    this.stageOutbox = new StageOutbox(place, connection, codecs, chunkLength, peers, (chunk) => this.onStageTensor(chunk));
    this.stageOutbox.open();
    this.runner = new StageRunner(place, compute, stageInbox, this.stageOutbox, train.clipNorm);
  }

  /** The next task, once the one before is over and its inputs are here; tasks are done in the order in which they came. */
  private readonly beginNext = (): void => {
    this.looksSoon = false;
    if (this.mayBeginNext) this.perform(this.queue.shift()!);
  };

  private get mayBeginNext(): boolean {
    const first = this.queue[0];
    return first !== undefined && this.mayBegin && this.working === undefined && !this.isEnding && this.inputsAreHere(first.task);
  }

  /** Something came: a task that is called off at the same time does not begin. */
  private beginNextSoon(): void {
    if (this.looksSoon || !this.mayBeginNext) return;
    this.looksSoon = true;
    void SOON.then(this.beginNext);
  }

  private inputsAreHere(task: Task): boolean {
    const { kind, version, optimizerSteps } = task;
    if (kind === 'INITIALISE') return true;
    if (kind === 'STREAM') return this.streaming.mayBegin(task);
    return kind === 'LOCAL_STEPS' ? this.inbox!.hasAll(version, optimizerSteps) : this.inbox!.hasParameters(version);
  }

  private perform(work: Work): void {
    const { task } = work;
    this.working = work;
    this.log?.({ event: 'task', run: this.run, task: task.task, kind: task.kind, samples: samplesOf(task) });
    this.startedAtMs = this.clock.nowMs();
    if (task.kind !== 'STREAM') this.stream?.end();
    this.dispatch(work)?.then(this.performed, this.failedIn);
  }

  private readonly performed = (): void => {
    const { task, abort, isDropped } = this.working!;
    if (this.runner === undefined && task.kind === 'GRADIENT' && task.parts.length === 1 && !isDropped) this.spareAbort = abort;
    this.goOn();
  };

  private readonly failedIn = (error: unknown): void => {
    const { task, isDropped } = this.working!;
    this.stream?.end();
    if (!isDropped && !this.isEnding) this.fail(task.task, error);
    this.goOn();
  };

  private goOn(): void {
    this.working = undefined;
    this.atRest?.();
    this.beginNext();
  }

  /** Resolves when no task is under way. */
  private async rest(): Promise<void> {
    if (this.working !== undefined) await new Promise<void>((resolve) => (this.atRest = resolve));
  }

  /** Resolves when nothing of the task is in the way of the next one; without a promise it tells when it is so. */
  private dispatch(work: Work): Promise<void> | void {
    switch (work.task.kind) {
      // Gradients and moves have a buffer of their own; other results lie where parameters come in, until they are delivered.
      case 'GRADIENT':
        return this.gradient(work);
      case 'DELTA':
        return this.move(work);
      case 'STREAM':
        return this.streamed(work);
      case 'INITIALISE':
        return this.device.during(this.initialise(work));
      case 'EVALUATE':
        return this.device.during(this.evaluate(work));
      case 'LOCAL_STEPS':
        return this.device.during(this.stepAlone(work));
    }
  }

  private async initialise(work: Work): Promise<void> {
    await this.compute.initialParameters();
    this.inbox!.drew();
    await this.deliverNow(work, NOTHING, 'parameters');
  }

  /** Thousands of workers do little else: no function is made for it, and no promise that is not needed. */
  private gradient({ task }: Work): void {
    this.device.begin();
    try {
      const loaded = this.inbox!.loadParameters(task.version);
      const computed = loaded === undefined ? this.computeGradient() : loaded.then(this.computeGradient);
      computed.then(this.computed, this.notComputed);
    } catch (error) {
      this.notComputed(error);
    }
  }

  private readonly computeGradient = (): Promise<ComputeResult> => {
    const { runner } = this;
    const { task, abort: { signal } } = this.working!;
    return runner === undefined ? this.compute.gradient(task.ranges, signal) : runner.gradient(task, signal);
  };

  private readonly computed = (result: ComputeResult): void => {
    this.device.end();
    try {
      this.deliverNow(this.working!, result, 'gradient').then(this.performed, this.failedIn);
    } catch (error) {
      this.failedIn(error);
    }
  };

  private readonly notComputed = (error: unknown): void => {
    this.device.end();
    this.failedIn(error);
  };

  private async evaluate({ task, abort: { signal } }: Work): Promise<void> {
    const { version, start, end } = task;
    await this.inbox!.loadParameters(version);
    const evaluated = this.runner === undefined ? this.compute.evaluate('validation', start, end, signal) : this.runner.evaluate(task, signal);
    const held = { version, crc: this.checksum() }; // while the device is at it
    this.sendDone(task.task, await evaluated, 0, task.kind, held);
  }

  private async stepAlone(work: Work): Promise<void> {
    const { task, abort } = work;
    const inbox = this.inbox!;
    await inbox.loadAll(task.version, task.optimizerSteps);
    const result = await this.localSteps(work, 'parameters');
    if (work.isDropped) inbox.disown(); // called off too late: nobody wants what it stepped to
    abort.signal.throwIfAborted();
    if (result.steps > 0) inbox.stepped(task.task, task.version + 1);
    await this.deliverBehind(work, result);
  }

  private async move(work: Work): Promise<void> {
    const inbox = this.inbox!;
    const stepped = async () => {
      await inbox.loadParameters(work.task.version);
      inbox.moved();
      return this.localSteps(work, 'move');
    };
    const result = await this.device.during(stepped());
    work.abort.signal.throwIfAborted();
    await this.deliverNow(work, result, 'gradient');
  }

  private async streamed(work: Work): Promise<void> {
    const { task, abort } = work;
    const result = await this.streaming.steps(work, this.progressOf(task));
    if (result.steps === 0 && task.steps.length > 0) return this.sendDone(task.task, NOTHING, 0);
    const receipts = (this.receipts ??= new Bell(this.clock));
    await this.deliveries!.judged(task.parts, () => receipts.wait(undefined, abort.signal));
    const { there } = await this.streaming.take(task.parts, abort.signal);
    this.deliverMeanwhile(work, result, there);
  }

  private get streaming(): StreamRunner {
    return (this.stream ??= new StreamRunner(this.compute, this.inbox!, (call) => this.device.during(call)));
  }

  private localSteps({ task, abort, stop }: Work, result: LocalStepsResult): Promise<ComputeResult & { steps: number }> {
    const { runner } = this;
    const onStep = this.progressOf(task);
    if (runner !== undefined) return runner.localSteps(task, this.prepared!.gradient, stop.signal, (_, stats) => onStep(stats), abort.signal);
    const batches = task.steps.map(({ ranges, learningRate }) => ({ ranges, hyper: { learningRate } }));
    return this.compute.localSteps({ batches, result, stop: stop.signal }, (_, stats) => onStep(stats), abort.signal);
  }

  /** For people who watch, now and then. */
  private progressOf({ task }: Task): (done: BatchStats) => void {
    const { clock, send } = this;
    let saidAtMs = clock.nowMs();
    return ({ samples, targets, lossSum, correct }) => {
      if (clock.nowMs() < saidAtMs + PROGRESS_EVERY_MS) return;
      saidAtMs = clock.nowMs();
      send({ message: 'progress', progress: { run: this.run, task, samples, targets, lossSum, correct } });
    };
  }

  /** Sends the result, segment by segment, before the next task begins: the next one would overwrite it. */
  private deliverNow({ task, abort, isDropped }: Work, result: ComputeResult & { steps?: number }, kind: 'gradient' | 'parameters'): Promise<void> {
    this.sendDone(task.task, result, result.steps ?? 0, task.kind);
    return isDropped || result.steps === 0 ? Promise.resolve() : this.deliveries!.send(task, result.samples, kind, abort.signal);
  }

  /** Sends a move, once it is taken, while the next steps are computed. */
  private deliverMeanwhile(work: Work, result: ComputeResult & { steps: number }, there: Promise<void>): void {
    const { task, abort } = work;
    this.sendDone(task.task, result, result.steps, task.kind);
    if (work.isDropped) return;
    const sent = this.deliveries!.send(task, result.samples, 'gradient', abort.signal, there).catch((error: unknown) => {
      if (!abort.signal.aborted) this.fail(task.task, error);
    });
    this.deliveries!.keep(task.task, abort, sent);
  }

  /** Copies the result and sends it while the next steps are computed. */
  private async deliverBehind(work: Work, result: ComputeResult & { steps: number }): Promise<void> {
    const { task, abort } = work;
    if (result.steps === 0) return this.sendDone(task.task, NOTHING, 0);
    const send = await this.deliveries!.copy(task);
    this.sendDone(task.task, result, result.steps, task.kind);
    // Called off, or the link ended: the session knows.
    this.deliveries!.keep(task.task, abort, send(result.samples, abort.signal).catch(() => undefined));
  }

  private sendDone(
    task: number,
    { samples, targets, lossSum, correct, computeMs, prepareMs = 0 }: ComputeResult,
    steps: number,
    kind?: Task['kind'],
    held?: { readonly version: number; readonly crc: number },
  ): void {
    const elapsedMs = this.clock.nowMs() - this.startedAtMs;
    const direct = this.stageOutbox?.takeTraffic();
    const [peerBytesUp, peerBytesDown] = [direct?.sentBytes ?? 0, direct?.receivedBytes ?? 0];
    const encodeMs = this.outbox?.takeEncodeMs() ?? 0;
    const taskDone = { run: this.run, task, samples, targets, lossSum, correct, steps, computeMs, prepareMs, elapsedMs, encodeMs, peerBytesUp, peerBytesDown };
    this.send({ message: 'taskDone', taskDone });
    if (kind !== undefined) this.log?.({ event: 'done', run: this.run, task, kind, samples, computeMs, held });
  }

  private checksum(): number {
    const { buffer, byteOffset, byteLength } = this.inbox!.values;
    return this.context.crc32c(new Uint8Array(buffer, byteOffset, byteLength));
  }

  private fail(task: number, thrown: unknown): void {
    const error = LongtailError.from(thrown, 'engine').toWire();
    this.log?.({ event: 'failed', run: this.run, task, error });
    this.send({ message: 'taskFailed', taskFailed: { run: this.run, task, failure: error } });
  }
}

/** One for all, so that no stack is made for every task. */
const CALLED_OFF = new LongtailError('called off by the server', { code: 'cancelled' });

const NOTHING: ComputeResult = { samples: 0, targets: 0, lossSum: 0, correct: 0, computeMs: 0 };

function samplesOf({ ranges, steps, start, end }: Task): number {
  return countSamples(ranges) + steps.reduce((sum, step) => sum + countSamples(step.ranges), 0) + end - start;
}
