import { freshState, serverOptimizer, type OutgoingTensor, type RunEvent, type StateVector, type TensorKind } from '@longtail/core';
import type { FollowEvents, ServerMessage } from '@longtail/protocol';
import { Bell } from './bell.js';
import { checksumInTurns } from './checksum-in-turns.js';
import { BufferPools, EncodedTensor, type FillChunk } from './encoded-tensor.js';
import { FanOut } from './fan-out.js';
import { gridOf } from './grid.js';
import type { RunSnapshot } from './ports.js';
import type { RunCore } from './run-core.js';
import type { Segment } from './segments.js';
import { headerOf } from './snapshots.js';
import type { FollowedStep, VersionRecord } from './version-record.js';

/** The way to the server's standby. */
export interface StandbyWay {
  readonly address: string;
  /** Aborts when it ends. */
  readonly signal: AbortSignal;
  send(message: ServerMessage): void;
  sendTensor(tensor: OutgoingTensor, signal: AbortSignal): Promise<void>;
}

/** Where a server stands that its standby does not confirm commits to. */
export interface Standing {
  /** The standby has not taken over, nor can it. */
  readonly mayCommit: boolean;
  /** Resolves when that is so, or the signal aborts. */
  untilMayCommit(signal: AbortSignal): Promise<void>;
}

/** Versions that may be on the way; a standby that lags further behind is sent all of a later one instead. */
const MOST_TRANSFERS = 3;
/** Events that may be on the way. */
const MOST_EVENTS = 1024;
/** One that is on the way, one being made. */
const SPARE_BUFFERS = 2;

/** What makes a version: steps, or all of it. */
export interface Transfer {
  readonly number: number;
  readonly tensors: readonly EncodedTensor[];
  /** Adds a step whose sums `fill` codes, a chunk of a segment at a time. */
  addStep(learningRate: number, segments: readonly Segment[], scaleOf: (segment: Segment) => number, fill: (segment: Segment) => FillChunk): void;
}

interface Sent {
  readonly number: number;
  readonly version: number;
}

/**
 * How the server's standby follows a run: its log as it grows, and with each commit what makes its version of the one before,
 * the sum that the optimizer stepped along. While it is in step a commit is told to nobody before the standby holds it, but
 * not for longer than a round may take. See docs/adr/0035.
 */
export class Following {
  private way: StandbyWay | undefined;
  /** It holds the present version, and commits wait for it. */
  private inStep = false;
  /** It cannot go on from what it holds. */
  private needsAll = true;
  private last = 0;
  private readonly onTheWay: Sent[] = [];
  private streams = new FanOut();
  private readonly pools = new BufferPools(SPARE_BUFFERS);
  private sentSeq = 0;
  private heldSeq = 0;
  private told: Pick<RunSnapshot, 'job' | 'layout'> | undefined;
  /** Rung at whatever the standby confirms, and when it is gone. */
  private readonly waits = new Set<() => void>();

  constructor(private readonly core: RunCore) {}

  /** For people; empty: nobody follows. */
  get state(): string {
    return this.way === undefined ? '' : this.inStep ? 'in step' : 'behind';
  }

  /** The standby is there, and has the log up to `seq`. */
  attach(way: StandbyWay, seq: number): void {
    this.detach('it connected again');
    this.way = way;
    this.sentSeq = this.heldSeq = seq;
    this.needsAll = true;
    this.told = undefined;
    way.signal.addEventListener('abort', () => this.way === way && this.detach(String((way.signal.reason as Error).message)), { once: true });
    void this.pourLog(way).catch(() => undefined); // a log that cannot be read cannot be written either: the run says so
    this.core.changed();
  }

  private detach(reason: string): void {
    const { way } = this;
    if (way === undefined) return;
    this.way = undefined;
    this.onTheWay.length = 0;
    this.streams.abort(GIVEN_UP);
    this.streams = new FanOut();
    this.leaveStep(way.address, 'gone', reason);
  }

  /** It has these. */
  confirmed({ seq, transfer }: { readonly seq: number; readonly transfer: number }): void {
    this.heldSeq = Math.max(this.heldSeq, seq);
    while (this.onTheWay.length > 0 && this.onTheWay[0]!.number <= transfer) {
      const { version } = this.onTheWay.shift()!;
      if (this.onTheWay.length === 0 && version === this.core.version && !this.needsAll) this.enterStep();
    }
    this.ring();
  }

  /** Resolves when nothing can come any more that makes event `seq` untold. */
  async visible(seq: number, signal: AbortSignal): Promise<void> {
    const { standing } = this.core;
    while (this.heldSeq < seq && !signal.aborted) {
      if (this.inStep) await this.change(signal);
      else if (!standing.mayCommit) await standing.untilMayCommit(signal);
      else return;
    }
  }

  /** Before a commit's first step; undefined: nobody follows, or not in this way. */
  beginCommit(): Transfer | undefined {
    const { way } = this;
    if (way === undefined || this.needsAll) return undefined;
    if (this.onTheWay.length < MOST_TRANSFERS) return this.open(way);
    this.needsAll = true;
    return undefined;
  }

  /**
   * What `tell` does, and says in the log, happens once the standby holds the version, where it is in step: at `untilMs` at the
   * latest, after which the run goes on without it, as soon as it may.
   */
  async tell(transfer: Transfer | undefined, untilMs: number, tell: () => void): Promise<void> {
    const { core, way } = this;
    if (transfer === undefined || !this.inStep || way === undefined) {
      if (core.standing.mayCommit) tell();
      else await this.withhold(core.outbox.holdBack(tell));
      return this.describe(transfer, []);
    }
    const held = core.outbox.holdBack(tell);
    this.describe(transfer, held.events);
    const isThere = () => this.onTheWay.every(({ number }) => number > transfer.number);
    while (this.inStep && !isThere() && core.clock.nowMs() < untilMs) await this.change(way.signal, untilMs);
    // A process that stood still hears first what came meanwhile.
    if (!isThere()) await core.turn();
    if (this.inStep && !isThere()) this.leaveStep(way.address, 'behind', `it did not confirm version ${core.version} in time`);
    if (isThere() && this.way === way) held.release();
    else await this.withhold(held);
  }

  /** Until nobody else can have committed something else in its place; a run that is to end says what it did all the same. */
  private async withhold(held: { release(): void }): Promise<void> {
    await this.core.standing.untilMayCommit(this.core.signal);
    held.release();
  }

  /** Between commits: sends all of the present version where that is what it needs. */
  readonly whenDue = async (): Promise<void> => {
    if (this.way === undefined || !this.needsAll || this.core.training === undefined || this.onTheWay.length > 0) return;
    this.describe(await this.sendAll(), []);
  };

  /** The present version is durable soon: the standby is to compare what it has of it. Called between commits. */
  async check(): Promise<void> {
    const { core, way } = this;
    if (way === undefined || this.needsAll || core.training === undefined) return;
    const checksum = await checksumInTurns(core.training.shard, core.chunkLength, () => core.turn());
    if (this.way === way) way.send({ message: 'followCheck', followCheck: { run: core.run, version: core.version, checksum } });
  }

  /** What the standby has of a version is something else: it is sent all of the next one. */
  differs(version: number): void {
    const { way } = this;
    if (way === undefined || this.needsAll) return;
    this.needsAll = true;
    this.leaveStep(way.address, 'behind', `it holds other parameters than version ${version} has, and is sent them anew`);
    this.core.changed();
  }

  /** Where a run begins: nobody is to build on a version that the standby has not got, if it gets it in time. */
  async begin(untilMs: number): Promise<void> {
    await this.whenDue();
    while (this.way !== undefined && !this.inStep && this.core.clock.nowMs() < untilMs) await this.change(this.way.signal, untilMs);
  }

  /** All of the present version; undefined where nobody follows. It is coded when this resolves. */
  async sendAll(): Promise<Transfer | undefined> {
    const { core, way } = this;
    if (way === undefined || core.training === undefined) return undefined;
    const { shard, grid } = core.training;
    const fp32 = core.codecNamed('fp32');
    const transfer = this.open(way);
    const parameters: FillChunk = ({ offset, length }, out) => shard.encodeParameters(offset, length, fp32.id, out);
    transfer.add('parameters', new EncodedTensor(grid, core.version, fp32.id, fp32.maxBytes(grid.chunkLength), parameters, this.pools));
    for (const [index, { length, BYTES_PER_ELEMENT }] of freshState(serverOptimizer(core.job), grid.length).entries()) {
      const vectorGrid = gridOf(length, core.chunkLength);
      const fill: FillChunk = ({ offset, length: values }, out) => {
        const vector: StateVector = BYTES_PER_ELEMENT === 1 ? new Uint8Array(values) : new Float32Array(values);
        shard.readState(index, vector, offset);
        out.set(new Uint8Array(vector.buffer));
        return vector.byteLength;
      };
      transfer.add('state', new EncodedTensor(vectorGrid, core.version, fp32.id, BYTES_PER_ELEMENT * vectorGrid.chunkLength, fill, this.pools));
    }
    await core.outgoing.finish(transfer.tensors);
    if (this.way !== way) return undefined;
    this.needsAll = false;
    return transfer;
  }

  /** What comes from now on has other sizes. */
  forgetBuffers(): void {
    this.pools.clear();
  }

  private open(way: StandbyWay): OpenTransfer {
    const number = ++this.last;
    return new OpenTransfer(number, this.core, (kind, index, tensor) => this.stream(way, number, kind, index, tensor), this.pools);
  }

  /** The transfer is complete. */
  private describe(transfer: Transfer | undefined, events: readonly RunEvent[]): void {
    const { core, way } = this;
    if (transfer === undefined || way === undefined || this.needsAll) return;
    for (const tensor of transfer.tensors) tensor.retire();
    const { run: _, job, layout, ...header } = headerOf(core);
    const news = this.told?.job === job && this.told.layout === layout ? {} : { job, layout };
    this.told = { job, layout };
    const record: VersionRecord = { header: { ...header, ...news }, told: { seq: core.outbox.lastSeq + 1, events }, steps: (transfer as OpenTransfer).steps };
    this.onTheWay.push({ number: transfer.number, version: core.version });
    void this.sendRecord(way, transfer.number, core.outbox.lastSeq, JSON.stringify(record));
  }

  /** Behind the events that come before it. */
  private async sendRecord(way: StandbyWay, transfer: number, afterSeq: number, recordJson: string): Promise<void> {
    while (this.sentSeq < afterSeq && this.way === way) await this.change(way.signal);
    if (this.way === way) way.send({ message: 'followVersion', followVersion: { run: this.core.run, transfer, recordJson } });
  }

  private async pourLog(way: StandbyWay): Promise<void> {
    const { run, store } = this.core;
    for await (const { seq, timeMs, body } of store.log.read(this.sentSeq + 1, way.signal)) {
      const events: FollowEvents['events'] = [{ seq, timeMs, bodyJson: JSON.stringify(body) }];
      way.send({ message: 'followEvents', followEvents: { run, events } });
      this.sentSeq = seq;
      this.ring();
      while (seq - this.heldSeq >= MOST_EVENTS && this.way === way) await this.change(way.signal);
    }
  }

  private stream(way: StandbyWay, transfer: number, kind: TensorKind, index: number, tensor: EncodedTensor): void {
    const { run } = this.core;
    const header = { run, kind, stage: 0, fragment: index, task: transfer, round: 0, baseVersion: tensor.version, samples: 0, codec: tensor.codecId, name: '', start: 0 };
    tensor.hold();
    // Rejects where it was given up, or the link ended.
    const sent = this.streams.run((signal) => way.sendTensor(tensor.outgoing(header), signal));
    sent.then(() => tensor.release(), () => tensor.release(false));
  }

  private enterStep(): void {
    if (this.inStep || this.core.ended) return;
    this.inStep = true;
    const { run, version } = this.core;
    this.core.emit({ event: 'standby', run, address: this.way!.address, state: 'in step', version, reason: 'it holds what is committed' });
  }

  private leaveStep(address: string, state: 'behind' | 'gone', reason: string): void {
    this.inStep = false;
    const { run, version } = this.core;
    if (!this.core.ended) this.core.emit({ event: 'standby', run, address, state, version, reason: `${reason}: the run goes on without it` });
    this.ring();
  }

  private ring(): void {
    for (const wake of [...this.waits]) wake();
  }

  /** Until something was confirmed or sent, or the time. */
  private async change(signal: AbortSignal, untilMs?: number): Promise<void> {
    const bell = new Bell(this.core.clock);
    const wake = () => bell.ring();
    this.waits.add(wake);
    await bell.wait(untilMs, signal).catch(() => undefined); // whoever waits looks again
    this.waits.delete(wake);
  }
}

/** Given so that no DOMException with a stack is made for every tensor. */
const GIVEN_UP = new Error('the standby is gone');

class OpenTransfer implements Transfer {
  readonly tensors: EncodedTensor[] = [];
  steps: FollowedStep[] | undefined;

  constructor(
    readonly number: number,
    private readonly core: RunCore,
    private readonly send: (kind: TensorKind, index: number, tensor: EncodedTensor) => void,
    private readonly pools: BufferPools,
  ) {}

  add(kind: TensorKind, tensor: EncodedTensor): void {
    this.send(kind, this.tensors.length, tensor);
    this.tensors.push(tensor);
  }

  addStep(learningRate: number, segments: readonly Segment[], scaleOf: (segment: Segment) => number, fill: (segment: Segment) => FillChunk): void {
    (this.steps ??= []).push({ learningRate, parts: segments.map((segment) => ({ offset: segment.offset, scale: scaleOf(segment) })) });
    const fp32 = this.core.codecNamed('fp32');
    for (const segment of segments) {
      const { grid } = segment;
      this.add('gradient', new EncodedTensor(grid, this.core.version + 1, fp32.id, fp32.maxBytes(grid.chunkLength), fill(segment), this.pools));
    }
  }
}
