import { once } from 'node:events';
import { SHARE_ENV, Worker } from 'node:worker_threads';
import type {
  BackwardResult,
  BatchStats,
  BlockRange,
  DeviceTimings,
  Compute,
  ComputeResult,
  DeviceInfo,
  ForwardResult,
  HostTensor,
  Job,
  LocalStepsRequest,
  Prepared,
  SampleRange,
  Split,
  StageUse,
  StepHyper,
  VectorRange,
} from '@longtail/core';
import { LongtailError } from '@longtail/core';
import { toCross } from './crossing.js';
import type { CallName, ComputeCalls, ComputeReply, ComputeRequest, ComputeThreadOptions } from './channel.js';
import { Interrupts } from './interrupts.js';
import { Stream } from './stream.js';

/** Of a measurement of hand-overs: so many, each after a rest, as a device has between passes, with as much as a small activation. */
const ECHOES = 10;
const ECHO_REST_MS = 20;
const ECHO_VALUES = 2 ** 15;
/** What a hand-over takes is measured again for a job that comes later than this: the device may share its machine with others by then. */
const ECHO_FRESH_MS = 60_000;

interface PendingCall {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: Extras['onProgress'];
}

/** What a call may have beside its arguments. */
interface Extras {
  readonly onProgress?: (done: number, of: never) => void;
  readonly stop?: AbortSignal;
  /** Memory of the arguments that goes to the thread. */
  readonly moved?: readonly ArrayBuffer[];
  readonly isPass?: boolean;
  /** It looks at no flag: whatever comes next may be posted behind it. */
  readonly heedless?: boolean;
}

/** A call that is in line for the thread, or there. */
interface Turn {
  /** Whose passes may be posted behind it; undefined: nobody's. */
  readonly passesOf: AbortSignal | undefined;
  readonly heedless: boolean;
  /** Settle when it was posted, and when it and those before it are answered; never reject. */
  readonly posted: Promise<unknown>;
  readonly answered: Promise<unknown>;
}

const NOTHING: Turn = { passesOf: undefined, heedless: false, posted: Promise.resolve(), answered: Promise.resolve() };

/**
 * The device on a thread of its own: calls cross as messages, vectors lie in shared memory, aborts go through a shared
 * flag because a computing thread reads no messages. Calls are made one after the other, in the order they came. Passes under one
 * signal, and whatever follows a call that heeds no flag, are posted without waiting for answers, so that the thread finds the
 * next one when it is done with one.
 */
export class ComputeThread implements Compute {
  /** Resolves with the reason when the thread dies by itself; never rejects. */
  readonly died: Promise<LongtailError>;
  private readonly interrupts: Interrupts;
  /** Calls that the thread has not answered, in order. */
  private readonly pending: PendingCall[] = [];
  private last = NOTHING;
  private prepared: Prepared | undefined;
  private stream: Stream | undefined;
  private death: LongtailError | undefined;
  private closing = false;
  /** What a hand-over takes, and when that was measured. */
  private handOver: { readonly ms: number; readonly atMs: number } | undefined;

  private constructor(
    private readonly thread: Worker,
    interrupts: Interrupts,
    readonly device: DeviceInfo,
    /** Which engine, and why. */
    readonly choice: string,
  ) {
    this.interrupts = interrupts;
    thread.on('message', (reply: ComputeReply) => this.onReply(reply));
    this.died = new Promise((resolve) => {
      const die = (error: LongtailError) => {
        if (this.closing || this.death !== undefined) return;
        this.death = error;
        for (const { reject } of this.pending.splice(0)) reject(error);
        resolve(error);
      };
      thread.on('error', (error) => die(threadDied(error.message, error)));
      thread.on('exit', (code) => die(threadDied(`it ended with code ${code}`)));
    });
  }

  /** Starts the thread and the engine in it. Throws LongtailError `engine`, or the signal's reason. */
  static async open(options: ComputeThreadOptions, signal: AbortSignal): Promise<ComputeThread> {
    const interrupts = new Interrupts();
    // TensorFlow's C code reads the environment of the process: what the engine sets for it must not stay in a copy.
    const thread = new Worker(new URL('./thread.js', import.meta.url), { workerData: { options, interrupts: interrupts.memory }, env: SHARE_ENV });
    const reply = await firstReply(thread, signal).catch(async (error: unknown) => {
      await thread.terminate();
      throw error;
    });
    if (reply.kind === 'opened') return new ComputeThread(thread, interrupts, reply.device, reply.choice);
    await thread.terminate();
    throw reply.kind === 'failed' ? LongtailError.fromWire(reply.error) : new Error(`compute thread opened with ${reply.kind}`);
  }

  async prepare(
    job: Job,
    files: ReadonlyMap<string, string>,
    stages: readonly BlockRange[] | 'all',
    signal: AbortSignal,
    use?: StageUse,
  ): Promise<Prepared> {
    this.stream = undefined;
    const { shared, ...rest } = await this.call('prepare', [job, files, stages, use], signal);
    return (this.prepared = {
      ...rest,
      engine: this.device.engine,
      parameters: new Float32Array(shared.parameters),
      gradient: new Float32Array(shared.gradient),
      state: shared.state.map((memory) => new Float32Array(memory)),
    });
  }

  initialParameters(): Promise<void> {
    return this.call('initialParameters', []);
  }

  loadParameters(): Promise<void> {
    return this.call('loadParameters', []);
  }

  loadState(steps: number): Promise<void> {
    return this.call('loadState', [steps]);
  }

  gradient(ranges: readonly SampleRange[], signal: AbortSignal): Promise<ComputeResult> {
    return this.call('gradient', [ranges], signal);
  }

  async localSteps(
    { batches, result, stop }: LocalStepsRequest,
    onStep: (done: number, stats: BatchStats) => void,
    signal: AbortSignal,
  ): Promise<ComputeResult & { steps: number }> {
    return this.call('localSteps', [{ batches, result }], signal, { onProgress: onStep, stop });
  }

  startStream(): Promise<void> {
    this.stream ??= new Stream(
      {
        loadParameters: () => this.loadParameters(),
        readParts: (...args) => this.call('readParts', args, undefined, { heedless: true }),
        addParts: (...args) => this.call('addParts', args, undefined, { heedless: true }),
      },
      this.prepared!,
    );
    return this.stream.startStream();
  }

  takeStreamMove(parts: readonly VectorRange[]): Promise<void> {
    return this.stream!.takeStreamMove(parts);
  }

  prepareMix(parts: readonly VectorRange[], mixing: number): Promise<void> {
    return this.stream!.prepareMix(parts, mixing);
  }

  applyMix(): Promise<void> {
    return this.stream!.applyMix();
  }

  evaluate(split: Split, start: number, end: number, signal: AbortSignal): Promise<ComputeResult> {
    return this.call('evaluate', [split, start, end], signal);
  }

  forward(
    stage: number,
    microbatch: number,
    ranges: readonly SampleRange[],
    input: HostTensor | undefined,
    signal: AbortSignal,
  ): Promise<ForwardResult> {
    const { tensor, moved } = crossing(input);
    return this.call('forward', [stage, microbatch, ranges, tensor], signal, { moved, isPass: true });
  }

  backward(
    op: 'B' | 'I' | 'W',
    stage: number,
    microbatch: number,
    outputGradient: HostTensor | undefined,
    signal: AbortSignal,
  ): Promise<BackwardResult> {
    const { tensor, moved } = crossing(outputGradient);
    return this.call('backward', [op, stage, microbatch, tensor], signal, { moved, isPass: true });
  }

  takeGradient(): Promise<{ readonly samples: number }> {
    return this.call('takeGradient', []);
  }

  stepStages(samples: number, hyper: StepHyper): Promise<{ readonly computeMs: number }> {
    return this.call('stepStages', [samples, hyper]);
  }

  takeMove(): Promise<void> {
    return this.call('takeMove', []);
  }

  dropPasses(): Promise<void> {
    return this.call('dropPasses', []);
  }

  evaluateStage(
    stage: number,
    split: Split,
    start: number,
    end: number,
    input: HostTensor | undefined,
    signal: AbortSignal,
  ): Promise<ForwardResult> {
    const { tensor, moved } = crossing(input);
    return this.call('evaluateStage', [stage, split, start, end, tensor], signal, { moved, isPass: true });
  }

  async profile(
    job: Job,
    files: ReadonlyMap<string, string>,
    microbatches: readonly number[],
    onBlock: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<DeviceTimings> {
    const timings = await this.call('profile', [job, files, microbatches], signal, { onProgress: onBlock });
    if (this.handOver === undefined || performance.now() > this.handOver.atMs + ECHO_FRESH_MS) {
      this.handOver = { ms: await this.measureHandOver(signal), atMs: performance.now() };
    }
    return { ...timings, handOverMs: this.handOver.ms };
  }

  /** What a call takes beside the time that the device is at it: the mean, as in a pipeline everybody waits for the slow ones too. */
  private async measureHandOver(signal: AbortSignal): Promise<number> {
    let totalMs = 0;
    for (let i = 0; i < ECHOES; i++) {
      const { tensor, moved } = toCross({ dtype: 'float32', shape: [ECHO_VALUES], data: new Float32Array(ECHO_VALUES) });
      const startMs = performance.now();
      const { computeMs } = await this.call('echo', [tensor, ECHO_REST_MS], signal, { moved });
      totalMs += performance.now() - startMs - computeMs;
    }
    return totalMs / ECHOES;
  }

  release(): Promise<void> {
    return this.call('release', []);
  }

  /** Ends the thread at once, whatever it is doing. */
  async close(): Promise<void> {
    this.closing = true;
    this.interrupts.abort();
    await this.thread.terminate();
  }

  private call<Name extends CallName>(
    call: Name,
    args: Parameters<ComputeCalls[Name]>,
    signal?: AbortSignal,
    extra: Extras = {},
  ): Promise<ReturnType<ComputeCalls[Name]>> {
    const before = this.last;
    const passesOf = extra.isPass ? signal : undefined;
    const follows = before.heedless || (passesOf !== undefined && before.passesOf === passesOf);
    const posted = (follows ? before.posted : before.answered).then(() => this.post({ call, args } as ComputeRequest, signal, extra));
    const answer = posted.then(({ answer }) => answer);
    const answered = answer.then(
      () => undefined,
      () => before.answered,
    );
    this.last = { passesOf, heedless: extra.heedless ?? false, posted: posted.catch(() => undefined), answered };
    return answer as Promise<ReturnType<ComputeCalls[Name]>>;
  }

  private post(request: ComputeRequest, signal: AbortSignal | undefined, { onProgress, stop, moved = [] }: Extras): { readonly answer: Promise<unknown> } {
    signal?.throwIfAborted();
    if (this.death !== undefined) throw this.death;
    if (this.pending.length === 0) this.interrupts.clear();
    if (stop?.aborted) this.interrupts.stop();
    const onAbort = () => this.interrupts.abort();
    const onStop = () => this.interrupts.stop();
    signal?.addEventListener('abort', onAbort);
    stop?.addEventListener('abort', onStop);
    const answer = new Promise((resolve, reject) => {
      this.thread.postMessage(request, moved);
      this.pending.push({ resolve, reject, signal, onProgress });
    }).finally(() => {
      signal?.removeEventListener('abort', onAbort);
      stop?.removeEventListener('abort', onStop);
    });
    return { answer };
  }

  private onReply(reply: ComputeReply): void {
    const [pending] = this.pending;
    if (pending === undefined) return;
    if (reply.kind === 'progress') return pending.onProgress?.(reply.done, reply.of as never);
    this.pending.shift();
    if (reply.kind === 'result') pending.resolve(reply.value);
    else if (reply.kind === 'aborted') pending.reject(pending.signal?.reason);
    else if (reply.kind === 'failed') pending.reject(LongtailError.fromWire(reply.error));
  }
}

function crossing(tensor: HostTensor | undefined): { readonly tensor?: HostTensor; readonly moved?: readonly ArrayBuffer[] } {
  return tensor === undefined ? {} : toCross(tensor);
}

async function firstReply(thread: Worker, signal: AbortSignal): Promise<ComputeReply> {
  const answered = new AbortController();
  const either = { signal: AbortSignal.any([signal, answered.signal]) };
  try {
    const [reply] = (await Promise.race([
      once(thread, 'message', either),
      once(thread, 'exit', either).then(([code]) => Promise.reject(threadDied(`it ended with code ${code}`))),
    ])) as [ComputeReply];
    return reply;
  } catch (error) {
    signal.throwIfAborted();
    throw LongtailError.from(error, 'engine');
  } finally {
    answered.abort();
  }
}

function threadDied(reason: string, cause?: unknown): LongtailError {
  return new LongtailError(`The compute thread died: ${reason}`, {
    code: 'engine',
    hint: 'Often the device is out of memory: try a smaller batch, --memory, or another engine with --engine.',
    cause,
  });
}
