import { freshState, LongtailError, serverOptimizer, type Codec, type Job, type ParameterLayout, type ParameterShard, type StoredEvent, type TensorChunk } from '@longtail/core';
import type { FollowCheck, FollowVersion } from '@longtail/protocol';
import { checksumInTurns } from './checksum-in-turns.js';
import { CHUNK_LENGTH } from './grid.js';
import { CHUNKS_A_TURN } from './outgoing-parameters.js';
import type { RunSnapshot, ServerDependencies } from './ports.js';
import { tensorsOf, type VersionRecord } from './version-record.js';

/** Where a standby leaves what it follows. Failures are LongtailError `storage`. */
export interface FollowedStore {
  /** The last event of its log; 0: none. */
  readonly lastSeq: number;
  append(event: StoredEvent): void;
  /** The run has ended: keeps its last version, where there is one. */
  finish(last: RunSnapshot | undefined): Promise<void>;
}

export interface FollowedRunOptions {
  readonly run: string;
  /** That it was at when it was begun to be followed. */
  readonly version: number;
  readonly store: FollowedStore;
  readonly createShard: ServerDependencies['createShard'];
  readonly fp32: Codec;
  now(): number;
  /** Lets sockets have a turn. */
  turn(): Promise<void>;
  /** There is more of it. */
  advanced(): void;
  /** What it has of a version is not what the server wrote down. */
  differs(version: number): void;
  /** It cannot be followed. */
  failed(error: LongtailError): void;
}

interface Incoming {
  /** By tensor; each the chunks in order. */
  readonly tensors: Map<number, TensorChunk[]>;
  record: VersionRecord | undefined;
}

/** A standby's copy of a run: its log, and the parameters and the optimizer's state of the last version that it has whole. */
export class FollowedRun {
  /** The last transfer that is part of it. */
  transfer = 0;
  private head: { readonly job: Job; readonly layout: ParameterLayout } | undefined;
  private held: VersionRecord | undefined;
  private shard: ParameterShard | undefined;
  private readonly incoming = new Map<number, Incoming>();
  private applying: Promise<void> = Promise.resolve();
  /** What the server wrote down last, until it is compared. */
  private expected: FollowCheck | undefined;
  /** It is not what the server has, and goes for nothing until all of a version comes. */
  private differs = false;
  private ended = false;
  private committed = false;
  private chunks = 0;

  constructor(private readonly options: FollowedRunOptions) {}

  get seq(): number {
    return this.options.store.lastSeq;
  }

  /** Another connection to the server: what was on its way is not any more. */
  forgetIncoming(): void {
    this.incoming.clear();
    this.expected = undefined;
    this.transfer = 0;
  }

  append(events: readonly StoredEvent[]): void {
    const { store, failed } = this.options;
    for (const event of events) {
      if (event.seq <= store.lastSeq) continue;
      if (event.seq > store.lastSeq + 1) return failed(new LongtailError(`event ${event.seq} came after event ${store.lastSeq}`, { code: 'protocol' }));
      store.append(event);
      this.committed ||= event.body.event === 'commit';
      if (event.body.event === 'verdict') this.end();
    }
  }

  take(chunk: TensorChunk): void {
    const { tensors } = this.transferOf(chunk.header.task);
    const chunks = tensors.get(chunk.header.fragment);
    if (chunks === undefined) tensors.set(chunk.header.fragment, [chunk]);
    else chunks.push(chunk);
    this.applyWhole();
  }

  describe({ transfer, recordJson }: FollowVersion): void {
    this.transferOf(transfer).record = JSON.parse(recordJson) as VersionRecord;
    this.applyWhole();
  }

  check(durable: FollowCheck): void {
    this.expected = durable;
    this.inTurn(() => this.compare());
  }

  /**
   * What the server knew and had not told anybody is told, and this is the version to go on from. Resolves when what came whole is part
   * of it; undefined where it never had a version.
   */
  async takeOver(): Promise<RunSnapshot | undefined> {
    await this.applying;
    const { store, now } = this.options;
    for (const [index, body] of (this.held?.told.events ?? []).entries()) {
      const seq = this.held!.told.seq + index;
      if (seq === store.lastSeq + 1) store.append({ seq, timeMs: now(), body });
    }
    return this.snapshot();
  }

  /** There is a version to go on from, or there never was one to lose. */
  get ready(): boolean {
    return this.ended || (this.held !== undefined && !this.differs) || (this.options.version === 0 && !this.committed);
  }

  /** Its log has the verdict. */
  get over(): boolean {
    return this.ended;
  }

  private transferOf(number: number): Incoming {
    let incoming = this.incoming.get(number);
    if (incoming === undefined) this.incoming.set(number, (incoming = { tensors: new Map(), record: undefined }));
    return incoming;
  }

  /** Transfers are numbered in order; those that were given up never become whole. */
  private applyWhole(): void {
    for (const [number, incoming] of this.incoming) {
      const { record } = incoming;
      if (record === undefined || !this.isWhole(incoming, record)) continue;
      for (const older of this.incoming.keys()) if (older <= number) this.incoming.delete(older);
      this.inTurn(() => this.apply(number, incoming, record));
    }
  }

  private inTurn(act: () => Promise<void>): void {
    this.applying = this.applying.then(act).catch((error: unknown) => this.options.failed(LongtailError.from(error)));
  }

  private isWhole({ tensors }: Incoming, record: VersionRecord): boolean {
    const job = record.header.job ?? this.head?.job;
    if (job === undefined) return false;
    const expected = tensorsOf(record, freshState(serverOptimizer(job), 0).length);
    return tensors.size === expected && [...tensors.values()].every((chunks) => chunks.length === chunks[0]!.header.chunks);
  }

  private async apply(number: number, { tensors }: Incoming, record: VersionRecord): Promise<void> {
    const { header, steps } = record;
    if (header.job !== undefined) {
      // What is stepped along, and how, follows from these.
      if (steps === undefined) this.shard = undefined;
      this.head = { job: header.job, layout: header.layout! };
    }
    const inOrder = [...tensors].sort(([a], [b]) => a - b).map(([, chunks]) => chunks);
    if (steps === undefined) await this.writeAll(inOrder);
    else await this.step(steps, inOrder);
    this.shard!.setSteps(header.steps);
    this.held = record;
    this.transfer = number;
    await this.compare();
    this.options.advanced();
  }

  /** What is here of the version that the server wrote down, where this is that version. */
  private async compare(): Promise<void> {
    const { expected, held, shard } = this;
    if (expected === undefined || shard === undefined || held?.header.version !== expected.version) return;
    this.expected = undefined;
    if (this.differs || (await checksumInTurns(shard, CHUNK_LENGTH, this.options.turn)) === expected.checksum) return;
    this.differs = true;
    this.options.differs(expected.version);
  }

  private async writeAll([parameters, ...state]: readonly (readonly TensorChunk[])[]): Promise<void> {
    const { createShard, fp32 } = this.options;
    const { job, layout } = this.head!;
    const shard = (this.shard ??= createShard(layout, serverOptimizer(job)));
    this.differs = false;
    for (const { header, payload } of parameters!) {
      await this.mayTurn();
      const values = new Float32Array(header.length);
      fp32.decode(payload, values);
      shard.writeParameters(values, header.offset);
    }
    const kinds = freshState(serverOptimizer(job), 0);
    for (const [index, chunks] of state.entries()) {
      for (const { header, payload } of chunks) {
        await this.mayTurn();
        const bytes = payload.slice();
        shard.writeState(index, kinds[index] instanceof Uint8Array ? bytes : new Float32Array(bytes.buffer), header.offset);
      }
    }
  }

  private async step(steps: NonNullable<VersionRecord['steps']>, tensors: readonly (readonly TensorChunk[])[]): Promise<void> {
    const { fp32 } = this.options;
    const shard = this.shard!;
    let next = 0;
    for (const { learningRate, parts } of steps) {
      shard.beginStep({ learningRate });
      for (const { offset, scale } of parts) {
        for (const { header, payload } of tensors[next++]!) {
          await this.mayTurn();
          shard.stepChunk(offset + header.offset, header.length, [{ bytes: payload, codecId: fp32.id, weight: 1 }], scale);
        }
      }
    }
  }

  private async mayTurn(): Promise<void> {
    if (++this.chunks % CHUNKS_A_TURN === 0) await this.options.turn();
  }

  private snapshot(): RunSnapshot | undefined {
    const { held, head, shard } = this;
    if (held === undefined || head === undefined || shard === undefined || this.differs) return undefined;
    const parameters = new Float32Array(shard.length);
    shard.readParameters(parameters);
    const state = freshState(serverOptimizer(head.job), shard.length);
    for (const [index, vector] of state.entries()) shard.readState(index, vector);
    return { ...held.header, ...head, run: this.options.run, parameters, state };
  }

  private end(): void {
    this.ended = true;
    this.applying = this.applying
      .then(() => this.options.store.finish(this.snapshot()))
      .then(() => (this.shard = undefined))
      .then(
        () => undefined,
        (error: unknown) => this.options.failed(LongtailError.from(error)),
      );
  }
}
