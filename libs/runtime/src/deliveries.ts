import { DEFAULT_TOP_K, hasErrorFeedback, type Codec, type FeedbackEncoder, type Job, type Loan, type Prepared } from '@longtail/core';
import type { Receipt, Task } from '@longtail/protocol';
import { FanOut } from './fan-out.js';
import { partOf } from './grid.js';
import type { KnownCodecs } from './known-codecs.js';
import type { CreateFeedback } from './ports.js';
import type { WorkerOutbox } from './worker-outbox.js';

interface Upload {
  readonly task: number;
  readonly abort: AbortController;
  readonly sent: Promise<void>;
}

const NONE: readonly Task[] = [];

/** What a task brings home, as parts of a vector. */
interface Sending {
  readonly task: Task;
  readonly samples: number;
  readonly kind: 'gradient' | 'parameters';
  readonly vector: Float32Array;
  readonly loan: Loan | undefined;
  readonly codec: Codec;
  readonly feedback: FeedbackEncoder | undefined;
}

/** What a worker's tasks bring home: coded with what codecs lost before, on its way, and without a receipt so far. */
export class Deliveries {
  /** On their way while other tasks are worked on. Not a Set, whose old tables would keep all that came later (`Numbered`). */
  private uploads: readonly Upload[] = [];
  /** What was sent of these had no receipt yet. */
  private contributed: readonly Task[] = NONE;
  /** What codecs lost of contributions; undefined as long as none lost enough to keep. */
  private feedback: FeedbackEncoder | undefined;

  constructor(
    private readonly prepared: Prepared,
    private readonly outbox: WorkerOutbox,
    private readonly codecs: KnownCodecs,
    private readonly sync: Job['sync'],
    private readonly createFeedback: CreateFeedback,
  ) {}

  /** Sends what the task brings home, segment by segment, once it is `there`. */
  send(task: Task, samples: number, kind: 'gradient' | 'parameters', signal: AbortSignal, there?: Promise<void>): Promise<void> {
    const vector = this.prepared[kind];
    // A stream writes to parts of the vector while others are on their way.
    const loan = kind === 'gradient' && task.kind !== 'STREAM' ? this.prepared.gradientLoan : undefined;
    const codec = this.codecs.numbered(task.codec);
    const feedback = kind === 'gradient' ? this.feedbackFor(codec) : undefined;
    if (kind === 'gradient') this.contributed = this.contributed.length === 0 ? [task] : [...this.contributed, task];
    const sending = { task, samples, kind, vector, loan, codec, feedback };
    if (there === undefined && task.parts.length === 1) return this.sendPart(sending, task.parts[0]!, signal);
    return this.sendAll(sending, signal, there);
  }

  private async sendAll(sending: Sending, signal: AbortSignal, there: Promise<void> | undefined): Promise<void> {
    await there;
    const sends = new FanOut(signal);
    await Promise.all(sending.task.parts.map((part) => sends.run((each) => this.sendPart(sending, part, each))));
  }

  private sendPart({ task, samples, kind, vector, loan, codec, feedback }: Sending, { segment, start, length }: Task['parts'][number], signal: AbortSignal): Promise<void> {
    const values = partOf(vector, start, length);
    return this.outbox.sendVector(task, samples, { kind, fragment: segment, start, values, loan }, codec, signal, feedback);
  }

  /** Copies all that a worker alone steps to, once what was copied before is sent, so that one copy is enough; resolves with how to send it. */
  async copy(task: Task): Promise<(samples: number, signal: AbortSignal) => Promise<void>> {
    await this.settled();
    const { parameters, state } = this.prepared;
    const codec = this.codecs.numbered(task.codec);
    const vectors = [
      { kind: 'parameters', fragment: 0, values: parameters, start: 0 } as const,
      ...state.map((values, fragment) => ({ kind: 'state', fragment, values, start: 0 }) as const),
    ];
    const tensors = vectors.map((vector) => this.outbox.encode(vector, codec));
    for (const tensor of tensors) await this.outbox.finish(tensor);
    return (samples, signal) => this.outbox.send(task, samples, tensors, signal);
  }

  /** It goes on while other tasks are worked on; `sent` never rejects. */
  keep(task: number, abort: AbortController, sent: Promise<void>): void {
    const upload = { task, abort, sent };
    this.uploads = [...this.uploads, upload];
    void sent.finally(() => {
      this.uploads = this.uploads.filter((other) => other !== upload);
    });
  }

  /** Drops what is on its way, of one task or of all. */
  callOff(reason: Error, task?: number): void {
    for (const upload of this.uploads) if (task === undefined || upload.task === task) upload.abort.abort(reason);
  }

  /** Resolves when nothing is on its way any more. */
  async settled(): Promise<void> {
    await Promise.all(this.uploads.map(({ sent }) => sent));
  }

  /** Whether the task brought something home. */
  receipt({ task, accepted }: Receipt): boolean {
    const known = numbered(this.contributed, task);
    if (known === undefined) return false;
    this.contributed = this.contributed.length === 1 ? NONE : this.contributed.filter((one) => one !== known);
    for (const part of known.parts) this.feedback?.settle(accepted, part);
    return true;
  }

  /** Resolves when the receipts of what was brought home of these parts before are here: what it was coded from may be written to. */
  async judged(parts: Task['parts'], wait: () => Promise<unknown>): Promise<void> {
    const isOpen = ({ segment }: Task['parts'][number]) => parts.some((part) => part.segment === segment);
    while (this.contributed.some((task) => task.parts.some(isOpen))) await wait();
  }

  /** Error feedback, once there was something to keep: what is left goes with whatever codec comes next. */
  private feedbackFor({ name }: Codec): FeedbackEncoder | undefined {
    if (!hasErrorFeedback(name)) return this.feedback;
    return (this.feedback ??= this.createFeedback(this.prepared.parameters.length, this.sync.topK ?? DEFAULT_TOP_K));
  }
}

function numbered(tasks: readonly Task[], number: number): Task | undefined {
  for (const task of tasks) if (task.task === number) return task;
  return undefined;
}
