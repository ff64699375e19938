import type { BatchStats, Clock, Compute, ComputeResult, Job, LocalStepsResult, Prepared, TensorChunk } from '@longtail/core';
import type { Place, Receipt, Task } from '@longtail/protocol';
import { Bell } from './bell.js';
import { Deliveries } from './deliveries.js';
import { DeviceUse } from './device-use.js';
import { KnownCodecs } from './known-codecs.js';
import { countSamples } from './microbatches.js';
import type { StageInbox } from './stage-inbox.js';
import { StageOutbox } from './stage-outbox.js';
import { StageRunner } from './stage-runner.js';
import { StreamRunner } from './stream-runner.js';
import type { Work } from './work.js';
import { WorkerInbox } from './worker-inbox.js';
import { WorkerOutbox } from './worker-outbox.js';
import type { WorkerRunContext } from './worker-run-context.js';

/** Whose tasks it does. */
export interface TaskHost {
  readonly run: string;
  readonly job: Job;
  readonly place: Place;
  /** Undefined for a solo worker. */
  readonly stageInbox: StageInbox | undefined;
  /** The task under way is over … */
  readonly performed: () => void;
  /** … with an error. */
  readonly failedIn: (error: unknown) => void;
  fail(task: number, error: unknown): void;
  onStageTensor(chunk: TensorChunk): void;
}

const PROGRESS_EVERY_MS = 500;

/** Does the tasks of a run on a device that is prepared for it, one at a time: loads what they need, computes, and brings home what comes of it. */
export class TaskPerformer {
  private readonly device = new DeviceUse();
  private readonly inbox: WorkerInbox;
  private readonly outbox: WorkerOutbox;
  private readonly deliveries: Deliveries;
  private readonly stageOutbox: StageOutbox | undefined;
  /** Undefined for a solo worker. */
  private readonly runner: StageRunner | undefined;
  /** Once it was given local steps that go on from task to task. */
  private stream: StreamRunner | undefined;
  /** For who waits for receipts. */
  private receipts: Bell | undefined;
  /** Under way. */
  private working: Work | undefined;
  /** When the inputs of the task under way were there. */
  private startedAtMs = 0;
  // Of the context, as each task of thousands of workers would have to fetch them from elsewhere.
  private readonly run: string;
  private readonly compute: Compute;
  private readonly clock: Clock;
  private readonly session: WorkerRunContext['session'];
  private readonly log: WorkerRunContext['log'];
  private readonly crc32c: WorkerRunContext['crc32c'];

  constructor(
    private readonly host: TaskHost,
    private readonly prepared: Prepared,
    context: WorkerRunContext,
  ) {
    const { compute, clock, session, log, crc32c, codecs, createFeedback, connection, chunkLength, allocate, peers } = context;
    const { run, job: { sync, train }, place, stageInbox } = host;
    this.run = run;
    this.compute = compute;
    this.clock = clock;
    this.session = session;
    this.log = log;
    this.crc32c = crc32c;
    this.inbox = new WorkerInbox(prepared, compute, codecs, chunkLength, place.afterTransfer);
    this.outbox = new WorkerOutbox(connection, chunkLength, place.worker, clock, allocate);
    const known = new KnownCodecs(codecs, sync);
    this.deliveries = new Deliveries(prepared, this.outbox, known, sync, createFeedback);
    if (stageInbox === undefined) return;
    const stageCodecs = { activation: known.named(sync.activationCodec ?? 'fp32'), peer: known.named('fp32') };
    this.stageOutbox = new StageOutbox(place, connection, stageCodecs, chunkLength, peers, (chunk) => host.onStageTensor(chunk));
    this.stageOutbox.open();
    this.runner = new StageRunner(place, compute, stageInbox, this.stageOutbox, train.clipNorm);
  }

  /** What tensors make of the direct links to neighbours; undefined: it has none. */
  get peerRates(): ReturnType<StageOutbox['rates']> | undefined {
    return this.stageOutbox?.rates();
  }

  /** Resolves when the device reads and writes nothing of what chunks are put into; undefined: it does not now. */
  free(): Promise<void> | undefined {
    return this.device.busy ? this.device.free() : undefined;
  }

  take(chunk: TensorChunk): void {
    this.inbox.take(chunk);
    this.stream?.arrived();
  }

  onReceipt(receipt: Receipt): void {
    const { task, accepted } = receipt;
    const wasSent = this.deliveries.receipt(receipt);
    if (wasSent && !accepted) this.endStream();
    this.inbox.judged(task, accepted);
    this.receipts?.ring();
  }

  /** What is on its way is not wanted, of one task or of all. */
  callOff(reason: Error, task?: number): void {
    this.deliveries.callOff(reason, task);
  }

  /** Resolves when nothing is on its way any more. */
  async close(): Promise<void> {
    this.stageOutbox?.close('the run is over');
    await this.deliveries.settled();
  }

  /** Its inputs are here. */
  mayBegin({ task }: Work): boolean {
    const { kind, version, optimizerSteps } = task;
    if (kind === 'INITIALISE') return true;
    if (kind === 'STREAM') return this.streaming.mayBegin(task);
    return kind === 'LOCAL_STEPS' ? this.inbox.hasAll(version, optimizerSteps) : this.inbox.hasParameters(version);
  }

  /** Tells the host when nothing of the task is in the way of the next one. */
  perform(work: Work): void {
    const { task } = work;
    this.working = work;
    this.log?.({ event: 'task', run: this.run, task: task.task, kind: task.kind, samples: samplesOf(task) });
    this.startedAtMs = this.clock.nowMs();
    if (task.kind !== 'STREAM') this.endStream();
    this.dispatch(work)?.then(this.host.performed, this.host.failedIn);
  }

  /** The next steps begin with the server's parameters. */
  endStream(): void {
    this.stream?.end();
  }

  /** Nothing was done for it. */
  skip(task: number): void {
    this.sendDone(task, NOTHING, 0);
  }

  /** Resolves when nothing of the task is in the way of the next one; without a promise it tells the host. */
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
    this.inbox.drew();
    await this.deliverNow(work, NOTHING, 'parameters');
  }

  /** Thousands of workers do little else: no function is made for it, and no promise that is not needed. */
  private gradient({ task }: Work): void {
    this.device.begin();
    try {
      const loaded = this.inbox.loadParameters(task.version);
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
      this.deliverNow(this.working!, result, 'gradient').then(this.host.performed, this.host.failedIn);
    } catch (error) {
      this.host.failedIn(error);
    }
  };

  private readonly notComputed = (error: unknown): void => {
    this.device.end();
    this.host.failedIn(error);
  };

  private async evaluate({ task, abort: { signal } }: Work): Promise<void> {
    const { version, start, end } = task;
    await this.inbox.loadParameters(version);
    const evaluated = this.runner === undefined ? this.compute.evaluate('validation', start, end, signal) : this.runner.evaluate(task, signal);
    const held = { version, crc: this.checksum() }; // while the device is at it
    this.sendDone(task.task, await evaluated, 0, task.kind, held);
  }

  private async stepAlone(work: Work): Promise<void> {
    const { task, abort } = work;
    const { inbox } = this;
    await inbox.loadAll(task.version, task.optimizerSteps);
    const result = await this.localSteps(work, 'parameters');
    if (work.isDropped) inbox.disown(); // called off too late: nobody wants what it stepped to
    abort.signal.throwIfAborted();
    if (result.steps > 0) inbox.stepped(task.task, task.version + 1);
    await this.deliverBehind(work, result);
  }

  private async move(work: Work): Promise<void> {
    const { inbox } = this;
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
    await this.deliveries.judged(task.parts, () => receipts.wait(undefined, abort.signal));
    const { there } = await this.streaming.take(task.parts, abort.signal);
    this.deliverMeanwhile(work, result, there);
  }

  private get streaming(): StreamRunner {
    return (this.stream ??= new StreamRunner(this.compute, this.inbox, (call) => this.device.during(call)));
  }

  private localSteps({ task, abort, stop }: Work, result: LocalStepsResult): Promise<ComputeResult & { steps: number }> {
    const { runner } = this;
    const onStep = this.progressOf(task);
    if (runner !== undefined) return runner.localSteps(task, this.prepared.gradient, stop.signal, (_, stats) => onStep(stats), abort.signal);
    const batches = task.steps.map(({ ranges, learningRate }) => ({ ranges, hyper: { learningRate } }));
    return this.compute.localSteps({ batches, result, stop: stop.signal }, (_, stats) => onStep(stats), abort.signal);
  }

  /** For people who watch, now and then. */
  private progressOf({ task }: Task): (done: BatchStats) => void {
    const { clock, session } = this;
    let saidAtMs = clock.nowMs();
    return ({ samples, targets, lossSum, correct }) => {
      if (clock.nowMs() < saidAtMs + PROGRESS_EVERY_MS) return;
      saidAtMs = clock.nowMs();
      session.send({ message: 'progress', progress: { run: this.run, task, samples, targets, lossSum, correct } });
    };
  }

  /** Sends the result, segment by segment, before the next task begins: the next one would overwrite it. */
  private deliverNow({ task, abort, isDropped }: Work, result: ComputeResult & { steps?: number }, kind: 'gradient' | 'parameters'): Promise<void> {
    this.sendDone(task.task, result, result.steps ?? 0, task.kind);
    return isDropped || result.steps === 0 ? Promise.resolve() : this.deliveries.send(task, result.samples, kind, abort.signal);
  }

  /** Sends a move, once it is taken, while the next steps are computed. */
  private deliverMeanwhile(work: Work, result: ComputeResult & { steps: number }, there: Promise<void>): void {
    const { task, abort } = work;
    this.sendDone(task.task, result, result.steps, task.kind);
    if (work.isDropped) return;
    const sent = this.deliveries.send(task, result.samples, 'gradient', abort.signal, there).catch((error: unknown) => {
      if (!abort.signal.aborted) this.host.fail(task.task, error);
    });
    this.deliveries.keep(task.task, abort, sent);
  }

  /** Copies the result and sends it while the next steps are computed. */
  private async deliverBehind(work: Work, result: ComputeResult & { steps: number }): Promise<void> {
    const { task, abort } = work;
    if (result.steps === 0) return this.sendDone(task.task, NOTHING, 0);
    const send = await this.deliveries.copy(task);
    this.sendDone(task.task, result, result.steps, task.kind);
    // Called off, or the link ended: the session knows.
    this.deliveries.keep(task.task, abort, send(result.samples, abort.signal).catch(() => undefined));
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
    const encodeMs = this.outbox.takeEncodeMs();
    const taskDone = { run: this.run, task, samples, targets, lossSum, correct, steps, computeMs, prepareMs, elapsedMs, encodeMs, peerBytesUp, peerBytesDown };
    this.session.send({ message: 'taskDone', taskDone });
    if (kind !== undefined) this.log?.({ event: 'done', run: this.run, task, kind, samples, computeMs, held });
  }

  private checksum(): number {
    const { buffer, byteOffset, byteLength } = this.inbox.values;
    return this.crc32c(new Uint8Array(buffer, byteOffset, byteLength));
  }
}

const NOTHING: ComputeResult = { samples: 0, targets: 0, lossSum: 0, correct: 0, computeMs: 0 };

function samplesOf({ ranges, steps, start, end }: Task): number {
  return countSamples(ranges) + steps.reduce((sum, step) => sum + countSamples(step.ranges), 0) + end - start;
}
