import { LongtailError, type Connection, type ConnectionHandlers, type ConnectionTraffic, type LinkRate, type OutgoingTensor, type TensorChunk } from '@longtail/core';
import type { Flow } from './flow.js';
import { Envelope, Parcel, Transfer, type Arrival, type Checksum, type End, type SentChunk } from './in-transit.js';
import type { Alarm, VirtualClock } from './virtual-clock.js';

/** Of sending, until more is known of the link. */
const LONG_ENOUGH_MS = 100;

export interface LateMessage<Message> {
  readonly message: Message;
  readonly lateMs: number;
}

/** Changes what is sent; an empty list drops it. */
export type Tamper = (chunk: TensorChunk) => readonly SentChunk[];

/** What both ends of a link have in common. */
export interface LinkOptions {
  readonly clock: VirtualClock;
  readonly latencyMs: number;
  readonly wireBytes: (chunk: TensorChunk) => number;
  readonly crc32c: Checksum | undefined;
}

/** A process: what comes to it when it is over has no effect, and nothing that it waits for comes to pass. */
export interface Mortal {
  readonly isOver: boolean;
}

export interface EndpointOptions<Send> {
  readonly tamper?: Tamper | undefined;
  readonly meddle?: ((message: Send) => readonly LateMessage<Send>[]) | undefined;
  /** The link has ended here. */
  readonly ended?: (() => void) | undefined;
  /** When the other end has taken what comes to it now. */
  readonly takenAtMs?: ((bytes: number) => number) | undefined;
}

/** One end of a link. */
export class Endpoint<Send, Receive> implements Connection<Send, Receive>, End {
  // What comes asks for these, side by side, and what goes for those behind them: of thousands of links they come from far (ADR 46).
  private open = true;
  private readonly clock: VirtualClock;
  private handlers: ConnectionHandlers<Receive> | undefined;
  /** Undefined: it outlives the link. */
  private process: Mortal | undefined;
  /** What came while the link stood still; undefined: nothing. */
  private held: Arrival[] | undefined;
  /** The link stands still until then; undefined: it never did. */
  private stalledUntilMs: number | undefined;
  private reading: Parcel | undefined;
  /** Behind it; undefined: nothing ever was. */
  private unread: Parcel[] | undefined;
  private readonly crc32c: Checksum | undefined;
  private received = 0;

  private other!: Endpoint<Receive, Send>;
  private readonly latencyMs: number;
  /** Of what was sent: nothing comes before what went before it. */
  private lastArrivalMs = 0;
  /** The last one. */
  private posted: Envelope<Send> | undefined;
  private readonly meddle: EndpointOptions<Send>['meddle'];
  private readonly tamper: EndpointOptions<Send>['tamper'];
  private readonly takenAtMs: EndpointOptions<Send>['takenAtMs'];
  private readonly wireBytes: LinkOptions['wireBytes'];
  /** What measures the link included. */
  private carriedBytes = 0;
  private sent = 0;
  /** Of those under way. */
  private lastTransfer: Transfer | undefined;
  /** Of the last transfer. Has a listener, as those of all transfers under way: most go under the same one, and to listen anew is dear. */
  private signal: AbortSignal | undefined;

  private rate: LinkRate | undefined;
  /** Bytes that `rate` is from. */
  private observed = 0;
  private readonly ended: EndpointOptions<Send>['ended'];
  /** What came before there were handlers. */
  private readonly early: (() => void)[] = [];

  constructor(
    readonly peer: string,
    { clock, latencyMs, wireBytes, crc32c }: LinkOptions,
    private readonly flow: Flow,
    { tamper, meddle, ended, takenAtMs }: EndpointOptions<Send> = {},
  ) {
    this.clock = clock;
    this.latencyMs = latencyMs;
    this.wireBytes = wireBytes;
    this.crc32c = crc32c;
    this.tamper = tamper;
    this.meddle = meddle;
    this.ended = ended;
    this.takenAtMs = takenAtMs;
  }

  attach(other: Endpoint<Receive, Send>): void {
    this.other = other;
  }

  /** Of which process this end is. */
  belongTo(process: Mortal): void {
    this.process = process;
  }

  /** Where sums are checked, what an ended send left on its way must still be what it was. */
  get handsOver(): boolean {
    return this.crc32c === undefined;
  }

  get traffic(): ConnectionTraffic {
    return { bytesSent: this.sent, bytesReceived: this.received };
  }

  /** What a tensor makes of it when nobody else uses the link. */
  get sending(): LinkRate | undefined {
    const { bitsPerSecond } = this.flow;
    if ((8000 * (this.carriedBytes - this.observed)) / bitsPerSecond >= LONG_ENOUGH_MS) {
      this.observed = this.carriedBytes;
      this.rate = { bitsPerSecond, roundTripMs: 2 * this.latencyMs };
    }
    return this.rate;
  }

  start(handlers: ConnectionHandlers<Receive>): void {
    if (this.handlers !== undefined) throw new Error('start was called twice');
    this.handlers = handlers;
    for (const deliver of this.early.splice(0)) deliver();
  }

  send(message: Send): void {
    if (!this.open) return;
    const { meddle } = this;
    if (meddle === undefined) this.post(message, 0);
    else for (const { message: sent, lateMs } of meddle(message)) this.post(sent, lateMs);
  }

  private post(message: Send, lateMs: number): void {
    const { posted, clock } = this;
    const nowMs = clock.nowMs();
    if (lateMs === 0 && posted?.sentAtMs === nowMs && clock.isSet(posted)) return posted.append(message);
    const envelope = new Envelope(this.other, message, nowMs);
    if (lateMs === 0) this.posted = envelope;
    this.travel(envelope, lateMs);
  }

  hear(message: Receive): void {
    if (this.open && !this.isDead) this.handlers!.message(message);
  }

  sendTensor(tensor: OutgoingTensor, signal: AbortSignal): Promise<void> {
    if (signal !== this.signal && signal.aborted) return Promise.reject(signal.reason as Error);
    if (!this.open) return Promise.reject(new LongtailError('the link has ended', { code: 'unreachable', where: this.peer }));
    const transfer = new Transfer(this, tensor, signal, this.crc32c);
    this.append(transfer);
    this.listenTo(signal);
    const sent = transfer.promise();
    transfer.pump();
    return sent;
  }

  private listenTo(signal: AbortSignal): void {
    const { signal: last } = this;
    if (signal === last) return;
    this.signal = signal;
    if (last !== undefined) this.forget(last);
    signal.addEventListener('abort', this.aborted);
  }

  /** Unless something is still sent under it. */
  private forget(signal: AbortSignal): void {
    if (signal !== this.signal && this.transfers().every((transfer) => transfer.signal !== signal)) signal.removeEventListener('abort', this.aborted);
  }

  private append(transfer: Transfer): void {
    transfer.before = this.lastTransfer;
    if (this.lastTransfer !== undefined) this.lastTransfer.after = transfer;
    this.lastTransfer = transfer;
  }

  private remove({ before, after }: Transfer): void {
    if (before !== undefined) before.after = after;
    if (after !== undefined) after.before = before;
    else this.lastTransfer = before;
  }

  /** Under way, in the order in which they began. */
  private transfers(): readonly Transfer[] {
    const transfers = [];
    for (let transfer = this.lastTransfer; transfer !== undefined; transfer = transfer.before) transfers.push(transfer);
    return transfers.reverse();
  }

  private readonly aborted = ({ target }: Event): void => {
    const signal = target as AbortSignal;
    if (signal === this.signal) this.signal = undefined;
    for (const transfer of this.transfers()) if (transfer.signal === signal) transfer.end(signal.reason);
  };

  settle(transfer: Transfer, error?: unknown): void {
    this.remove(transfer);
    if (transfer.signal !== this.signal) this.forget(transfer.signal);
    if (!this.isDead) transfer.tell(error);
  }

  close(reason: string): void {
    if (!this.open) return;
    this.clock.at(this.clock.nowMs() + this.latencyMs, () => this.other.deliver({ reach: () => this.other.fail(reason) }));
    this.fail(reason);
  }

  /** The link ends here, now. */
  fail(reason: string): void {
    if (!this.open) return;
    this.open = false;
    this.flow.end();
    this.ended?.();
    for (const transfer of this.transfers()) transfer.end(new LongtailError(`the link has ended: ${reason}`, { code: 'unreachable', where: this.peer }));
    const last = this.signal;
    this.signal = undefined;
    if (last !== undefined) this.forget(last);
    const closed = () => {
      if (!this.isDead) this.handlers!.closed(reason);
    };
    if (this.handlers === undefined) this.early.push(closed);
    else this.clock.at(this.clock.nowMs(), closed);
  }

  sendChunk(chunk: TensorChunk, transfer: Transfer): void {
    const { tamper } = this;
    if (tamper === undefined) this.transmit(chunk, transfer);
    else for (const [copy, altered] of tamper(chunk).entries()) this.transmit(altered, copy === 0 ? transfer : undefined);
  }

  private transmit(chunk: SentChunk, transfer: Transfer | undefined): void {
    const bytes = this.wireBytes(chunk);
    this.carriedBytes += bytes;
    if (chunk.header.kind !== 'probe') this.sent += bytes;
    this.flow.send(new Parcel(this, this.other, chunk, bytes, transfer));
  }

  left(parcel: Parcel, againMs: number): void {
    const { clock, latencyMs } = this;
    this.lastArrivalMs = Math.max(this.lastArrivalMs, clock.nowMs() + latencyMs + againMs);
    clock.set(parcel, this.lastArrivalMs + (parcel.chunk.lateMs ?? 0));
  }

  waitsToBeTaken(parcel: Parcel): boolean {
    const { takenAtMs } = this;
    if (takenAtMs === undefined) return false;
    this.clock.set(parcel, takenAtMs(parcel.bytes));
    return true;
  }

  /** What is checked is copied only now: a sender that changed it on the way is found out. */
  arrive(parcel: Parcel): void {
    const { header, payload } = parcel.chunk;
    if (this.crc32c !== undefined) parcel.chunk = { header, payload: payload.slice() };
    this.deliver(parcel);
  }

  take(parcel: Parcel): void {
    const { bytes, chunk: { header, payload } } = parcel;
    const { crc32c } = this;
    if (header.kind !== 'probe') this.received += bytes;
    if (crc32c !== undefined && crc32c(payload) !== header.crc) return this.close(`chunk ${header.chunk} of ${header.kind} ${header.task} fails its checksum`);
    if (this.reading !== undefined) return void (this.unread ??= []).push(parcel);
    this.reading = parcel;
    this.read();
  }

  /** One chunk after the other, as the receiver takes them. */
  private read(): void {
    while (this.open && this.reading !== undefined) {
      const taken = this.isDead ? undefined : this.handOver(this.reading.chunk);
      if (taken !== undefined) {
        void taken.then(() => {
          this.acknowledgeFirst();
          this.read();
        });
        return;
      }
      this.acknowledgeFirst();
    }
  }

  private acknowledgeFirst(): void {
    const read = this.reading!;
    this.reading = this.unread?.shift();
    read.acknowledge();
  }

  private handOver(chunk: TensorChunk): Promise<void> | undefined {
    const { handlers, crc32c } = this;
    const { header, payload: sent, loan } = chunk;
    const place = handlers!.place?.(header, sent.length, loan !== undefined);
    if (place === 'borrow' || (place === undefined && crc32c !== undefined)) return handlers!.tensor(chunk) ?? undefined;
    const payload = place ?? new Uint8Array(sent.length);
    payload.set(sent);
    return handlers!.tensor({ header, payload }) ?? undefined;
  }

  deliver(arrival: Arrival): void {
    if (!this.open) return;
    if (this.isStalled || this.held !== undefined) this.hold(arrival);
    else if (this.handlers === undefined) this.early.push(() => this.deliver(arrival));
    else arrival.reach();
  }

  private get isDead(): boolean {
    return this.process !== undefined && this.process.isOver;
  }

  /** Nothing arrives here for a while. */
  stall(untilMs: number): void {
    this.stalledUntilMs = Math.max(this.stalledUntilMs ?? 0, untilMs);
  }

  private get isStalled(): boolean {
    const { clock, stalledUntilMs } = this;
    return stalledUntilMs !== undefined && clock.nowMs() < stalledUntilMs;
  }

  /** Until the stall is over: what comes at that very moment comes behind it. */
  private hold(arrival: Arrival): void {
    if (this.held !== undefined) return void this.held.push(arrival);
    this.held = [arrival];
    this.waitForRelease();
  }

  private waitForRelease(): void {
    this.clock.at(this.stalledUntilMs!, this.release);
  }

  private readonly release = (): void => {
    if (this.isStalled) return this.waitForRelease();
    const held = this.held!;
    this.held = undefined;
    for (const arrival of held) this.deliver(arrival);
  };

  travel(alarm: Alarm, lateMs = 0): void {
    const { clock, latencyMs } = this;
    clock.set(alarm, clock.nowMs() + latencyMs + lateMs);
  }
}
