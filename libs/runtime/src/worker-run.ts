import { LongtailError, moduleOf, type BlockRange, type Job, type Prepared, type StageUse, type TensorChunk } from '@longtail/core';
import type { CancelTask, Prepare, Receipt, Task } from '@longtail/protocol';
import { FileIntake } from './file-intake.js';
import { isStageTensor, StageInbox } from './stage-inbox.js';
import { TaskPerformer, type TaskHost } from './task-performer.js';
import { Work } from './work.js';
import type { WorkerRunContext } from './worker-run-context.js';

/** More tasks than the server ever gives ahead. */
const MAX_QUEUED_TASKS = 8;
const SOON = Promise.resolve();

/** A worker's part in one run: prepares, then does its tasks one after the other. */
export class WorkerRun implements TaskHost {
  // What each message asks for, of thousands of workers, lies side by side (ADR 46).
  readonly run: string;
  /** Once it is prepared. */
  private performer: TaskPerformer | undefined;
  private queue: Work[] = [];
  private working: Work | undefined;
  private looksSoon = false;
  /** It is to end, or has. */
  private isEnding = false;
  readonly stageInbox: StageInbox | undefined;
  /** Of what is over and was not dropped, for the next task: to make it takes longer than anything else that a small task does. */
  private spareAbort: AbortController | undefined;

  readonly job: Job;
  /** Resolves when the run has let go of the device. Never rejects. */
  readonly stopped: Promise<void>;
  /** Until it is prepared. */
  private preparing: AbortController | undefined;
  private resolveOver!: () => void;
  /** Resolves when it is to end. */
  private readonly over = new Promise<void>((resolve) => (this.resolveOver = resolve));
  private readonly files: FileIntake;
  /** For who waits until no task is under way. */
  private atRest: (() => void) | undefined;

  /** `before` resolves when the device is free. */
  constructor(
    private readonly prepare: Prepare,
    private readonly context: WorkerRunContext,
    before: Promise<void>,
  ) {
    this.run = prepare.run;
    this.job = JSON.parse(prepare.jobJson) as Job;
    this.files = new FileIntake(context.fileCache, (sha256) => context.session.send({ message: 'fileRequest', fileRequest: { sha256 } }));
    const { workers, afterTask } = prepare.place;
    this.stageInbox = workers > 1 ? new StageInbox(context.codecs, afterTask) : undefined;
    this.stopped = before.then(() => this.live());
  }

  get place(): Prepare['place'] {
    return this.prepare.place;
  }

  /** Ends the run: what is under way is dropped. */
  end(reason: string): void {
    const error = new LongtailError(reason, { code: 'cancelled' });
    this.isEnding = true;
    this.preparing?.abort(error);
    this.working?.drop(error);
    this.performer?.callOff(error);
    this.resolveOver();
  }

  /** What tensors make of the direct links to neighbours; undefined: it has none. */
  get peerRates(): TaskPerformer['peerRates'] {
    return this.performer?.peerRates;
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
    if (queued >= 0 && deliver && this.stageInbox !== undefined) {
      // The others of the group may be at it: they end it together.
      this.queue[queued]!.stop.abort();
    } else if (queued >= 0) {
      this.queue.splice(queued, 1);
      if (deliver) this.performer?.skip(task);
    } else if (this.working?.task.task === task) {
      if (deliver) this.working.stop.abort();
      else this.working.drop(CALLED_OFF);
    } else if (!deliver) {
      this.performer?.callOff(CALLED_OFF, task);
    }
    this.beginNextSoon();
  }

  onReceipt(receipt: Receipt): void {
    if (!receipt.pending) this.performer?.onReceipt(receipt);
  }

  /** Resolves when the chunk is put away: the next may come. */
  onTensor(chunk: TensorChunk): Promise<void> | void {
    const { kind } = chunk.header;
    if (kind === 'file') return this.files.take(chunk);
    // The device waits for these: they must not wait for the device.
    if (isStageTensor(kind)) return this.onStageTensor(chunk);
    const free = this.performer?.free();
    return free === undefined ? this.putAway(chunk) : free.then(() => this.putAway(chunk));
  }

  private putAway(chunk: TensorChunk): void {
    if (chunk.header.run !== this.run || this.isEnding) return;
    this.performer?.take(chunk);
    this.beginNextSoon();
  }

  onStageTensor(chunk: TensorChunk): void {
    if (chunk.header.run === this.run && !this.isEnding) this.stageInbox?.put(chunk);
  }

  // ---- the run

  private async live(): Promise<void> {
    const { compute, log } = this.context;
    try {
      log?.({ event: 'preparing', run: this.run, job: this.job.name, module: moduleOf(this.job) });
      const prepared = await this.fetchAndPrepare();
      if (!this.isEnding) this.announce(prepared);
      await this.over;
      await this.rest();
    } catch (error) {
      if (!this.isEnding) this.fail(0, error);
    }
    await this.performer?.close();
    await compute.release().catch((error: unknown) => this.fail(0, error));
  }

  private async fetchAndPrepare(): Promise<Prepared> {
    if (this.isEnding) throw CALLED_OFF;
    const { signal } = (this.preparing = new AbortController());
    const files = await this.files.fetch(this.prepare.files, signal);
    signal.throwIfAborted();
    const prepared = await this.context.compute.prepare(this.job, files, this.stages, signal, this.use);
    this.spareAbort = this.preparing;
    this.preparing = undefined;
    return prepared;
  }

  private get stages(): readonly BlockRange[] | 'all' {
    const { held } = this.place;
    return held[0]?.end === 0 ? 'all' : held.map(({ start, end }) => ({ start, end }));
  }

  private get use(): StageUse | undefined {
    const { workers, microbatch, inFlight, recompute } = this.place;
    return workers > 1 ? { microbatch, inFlight, recompute } : undefined;
  }

  private announce(prepared: Prepared): void {
    const { session, log } = this.context;
    const { layouts, parameters, samplesPerSecond, memoryBytes, trainSamples, validationSamples, blocks = 0 } = prepared;
    this.performer = new TaskPerformer(this, prepared, this.context);
    const layoutsJson = JSON.stringify(layouts);
    const said = { layoutsJson, samplesPerSecond, memoryBytes, trainSamples, validationSamples, group: this.place.group, blocks };
    session.send({ message: 'ready', ready: { run: this.run, ...said } });
    log?.({ event: 'ready', run: this.run, samplesPerSecond, parameters: parameters.length });
    this.beginNext();
  }

  /** The next task, once the one before is over and its inputs are here; tasks are done in the order in which they came. */
  private readonly beginNext = (): void => {
    this.looksSoon = false;
    if (!this.mayBeginNext) return;
    this.working = this.queue.shift()!;
    this.performer!.perform(this.working);
  };

  private get mayBeginNext(): boolean {
    const first = this.queue[0];
    return first !== undefined && this.working === undefined && !this.isEnding && this.performer?.mayBegin(first) === true;
  }

  /** Something came: a task that is called off at the same time does not begin. */
  private beginNextSoon(): void {
    if (this.looksSoon || !this.mayBeginNext) return;
    this.looksSoon = true;
    void SOON.then(this.beginNext);
  }

  readonly performed = (): void => {
    const { task, abort, isDropped } = this.working!;
    if (this.stageInbox === undefined && task.kind === 'GRADIENT' && task.parts.length === 1 && !isDropped) this.spareAbort = abort;
    this.goOn();
  };

  readonly failedIn = (error: unknown): void => {
    const { task, isDropped } = this.working!;
    this.performer!.endStream();
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

  fail(task: number, thrown: unknown): void {
    const error = LongtailError.from(thrown, 'engine').toWire();
    this.context.log?.({ event: 'failed', run: this.run, task, error });
    this.context.session.send({ message: 'taskFailed', taskFailed: { run: this.run, task, failure: error } });
  }
}

/** One for all, so that no stack is made for every task. */
const CALLED_OFF = new LongtailError('called off by the server', { code: 'cancelled' });
