import type { OutgoingTensor, TensorChunk } from '@longtail/core';
import type { Queued } from './flow.js';
import { Alarm } from './virtual-clock.js';

/** Chunks of a tensor that may be out without an acknowledgement. */
const CREDIT_CHUNKS = 8;

/** A chunk as it travels: `lateMs` longer than the link takes. */
export interface SentChunk extends TensorChunk {
  readonly lateMs?: number;
}

export type Checksum = (bytes: Uint8Array) => number;

/** What comes to one end. */
export interface Arrival {
  /** Is for the handlers now. */
  reach(): void;
}

/** An end, as what is on its way sees it. */
export interface End {
  sendChunk(chunk: TensorChunk, transfer: Transfer): void;
  /** A transfer is over: with an error, it was given up. */
  settle(transfer: Transfer, error?: unknown): void;
  left(parcel: Parcel, againMs: number): void;
  /** Whether the other end takes its time for what is there now; the parcel rings when it has. */
  waitsToBeTaken(parcel: Parcel): boolean;
  arrive(parcel: Parcel): void;
  take(parcel: Parcel): void;
  deliver(arrival: Arrival): void;
  /** To the other end. */
  travel(alarm: Alarm, lateMs?: number): void;
}

/** A chunk from when it leaves until it is acknowledged. */
export class Parcel extends Alarm implements Queued, Arrival {
  private stage: 'travels' | 'is being taken' | 'is being acknowledged' = 'travels';

  constructor(
    private readonly from: End,
    private readonly to: End,
    public chunk: SentChunk,
    readonly bytes: number,
    /** Undefined: nobody waits for it to be acknowledged. */
    private readonly transfer: Transfer | undefined,
  ) {
    super();
  }

  left(lateMs: number): void {
    this.from.left(this, lateMs);
  }

  ring(): void {
    if (this.stage === 'is being acknowledged') return this.transfer!.acknowledged();
    const waits = this.stage === 'travels' && this.from.waitsToBeTaken(this);
    if (waits) this.stage = 'is being taken';
    else this.to.arrive(this);
  }

  reach(): void {
    this.to.take(this);
  }

  acknowledge(): void {
    if (this.transfer === undefined) return;
    this.stage = 'is being acknowledged';
    this.to.travel(this);
  }
}

/** A message on its way, with those that were sent at the same instant: they are read together, as what has come to a socket is. Whoever sent it may keep it: it forgets what has been read. */
export class Envelope<Message> extends Alarm implements Arrival {
  private more: Message[] | undefined;

  constructor(
    private readonly to: End & { hear(message: Message): void },
    private message: Message | undefined,
    readonly sentAtMs: number,
  ) {
    super();
  }

  append(message: Message): void {
    // An array that is made to be added to has room for many.
    if (this.more === undefined) this.more = [message];
    else this.more.push(message);
  }

  ring(): void {
    this.to.deliver(this);
  }

  reach(): void {
    const { to, message, more } = this;
    this.message = this.more = undefined;
    to.hear(message!);
    if (more !== undefined) for (const one of more) to.hear(one);
  }
}

/** Whose promise is being made: one function for all, so that none is made or touched for each. */
let waits: Transfer;
const WAIT = (resolve: Transfer['resolve']): void => void (waits.resolve = resolve);

/** A tensor on its way. */
export class Transfer {
  /** Among those of its end that are under way, in the order in which they began. */
  before: Transfer | undefined;
  after: Transfer | undefined;
  /** Of whoever began it. */
  resolve!: (value: Promise<void> | void) => void;
  private next = 0;
  private taken = 0;
  private over = false;
  private readonly chunks: number;

  constructor(
    private readonly from: End,
    private readonly tensor: OutgoingTensor,
    readonly signal: AbortSignal,
    private readonly crc32c: Checksum | undefined,
  ) {
    this.chunks = Math.max(1, Math.ceil(tensor.length / tensor.chunkLength));
  }

  /** Resolves when it is over. */
  promise(): Promise<void> {
    waits = this;
    return new Promise(WAIT);
  }

  /** Sends what may be out; what cannot be coded ends it. */
  pump(): void {
    try {
      while (!this.over && this.next < this.chunks && this.next - this.taken < CREDIT_CHUNKS) this.from.sendChunk(this.chunk(this.next++), this);
    } catch (error) {
      this.end(error);
    }
  }

  acknowledged(): void {
    if (++this.taken < this.chunks) this.pump();
    else this.end();
  }

  /** With an error: it is given up. */
  end(error?: unknown): void {
    if (this.over) return;
    this.over = true;
    this.from.settle(this, error);
  }

  /** Whoever began it. */
  tell(error?: unknown): void {
    this.resolve(error === undefined ? undefined : Promise.reject(error as Error));
  }

  private chunk(chunk: number): TensorChunk {
    const { chunkLength, length: values, header } = this.tensor;
    const offset = chunk * chunkLength;
    const length = Math.min(chunkLength, values - offset);
    const payload = this.tensor.chunk(offset, length);
    const { run, kind, stage, fragment, task, round, baseVersion, samples, codec, name, start, step, to } = header;
    const { chunks, crc32c } = this;
    const loan = crc32c === undefined ? this.tensor.loan : undefined;
    // One by one: to copy what is in an object takes several times as long.
    return { header: { run, kind, stage, fragment, task, round, baseVersion, samples, codec, name, start, step, to, chunk, chunks, offset, length, crc: crc32c?.(payload) ?? 0 }, payload, loan };
  }
}
