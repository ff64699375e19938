import type { AllocateTensor, Clock, Codec, FeedbackEncoder, Loan, OutgoingTensor, TensorKind } from '@longtail/core';
import type { Task } from '@longtail/protocol';
import { BufferPools, EncodedTensor, type FillChunk } from './encoded-tensor.js';
import { gridOf, partOf } from './grid.js';
import { CHUNKS_A_TURN } from './outgoing-parameters.js';
import type { WorkerConnection } from './ports.js';

export interface OutgoingVector {
  readonly kind: TensorKind;
  readonly fragment: number;
  readonly values: Float32Array;
  /** Values of the worker's vector before it. */
  readonly start: number;
  /** Of the values. */
  readonly loan?: Loan | undefined;
}

interface Outgoing extends OutgoingVector {
  readonly tensor: EncodedTensor;
}

/** A gradient, or parameters and two moments, that were just acknowledged. */
const SPARE_BUFFERS = 3;
const NEVER = new AbortController();

/** Sends a worker's results, coded chunk by chunk while earlier chunks are on their way. */
export class WorkerOutbox {
  private readonly pool: BufferPools;
  private encodeMs = 0;

  constructor(
    private readonly connection: WorkerConnection,
    private readonly chunkLength: number,
    /** Number in its group. */
    private readonly worker: number,
    private readonly clock: Clock,
    allocate?: AllocateTensor,
  ) {
    this.pool = new BufferPools(SPARE_BUFFERS, allocate);
  }

  /** `feedback`: codes with what was lost before. */
  encode(vector: OutgoingVector, codec: Codec, feedback?: FeedbackEncoder): Outgoing {
    const fill: FillChunk = ({ offset, length }, out) => {
      const startedAtMs = this.clock.nowMs();
      const values = partOf(vector.values, offset, length);
      const bytes = feedback === undefined ? codec.encode(values, out) : feedback.encode(codec.name, values, vector.start + offset, out);
      this.encodeMs += this.clock.nowMs() - startedAtMs;
      return bytes;
    };
    const grid = gridOf(vector.values.length, this.chunkLength);
    const { kind, fragment, values, start } = vector;
    return { kind, fragment, values, start, tensor: new EncodedTensor(grid, 0, codec.id, codec.maxBytes(grid.chunkLength), fill, this.pool) };
  }

  /** Time spent coding since the last call. */
  takeEncodeMs(): number {
    const { encodeMs } = this;
    this.encodeMs = 0;
    return encodeMs;
  }

  /** Codes all of it now: the vector may change afterwards. */
  async finish({ tensor }: Outgoing): Promise<void> {
    for (let chunk = 1; !tensor.complete; chunk++) {
      tensor.advance();
      if (chunk % CHUNKS_A_TURN === 0) await this.clock.sleep(0, NEVER.signal);
    }
  }

  /** Resolves when the server has everything; rejects when the link ends or the signal aborts. */
  async send(task: Task, samples: number, vectors: readonly Outgoing[], signal: AbortSignal): Promise<void> {
    for (const vector of vectors) await this.sendOne(task, samples, vector, signal);
  }

  /** The same of one vector that does not change before: coded on its way, or as it lies where that is the same and may be. */
  sendVector(task: Task, samples: number, vector: OutgoingVector, codec: Codec, signal: AbortSignal, feedback?: FeedbackEncoder): Promise<void> {
    const liesCoded = this.connection.handsOver === true && (feedback ?? codec).bytesIn !== undefined;
    if (!liesCoded) return this.sendOne(task, samples, this.encode(vector, codec, feedback), signal);
    const tensor = new LyingTensor(this.header(task, samples, vector, codec.id), vector.values, this.chunkLength, codec, feedback, vector.loan);
    return this.connection.sendTensor(tensor, signal);
  }

  private sendOne(task: Task, samples: number, outgoing: Outgoing, signal: AbortSignal): Promise<void> {
    const { tensor } = outgoing;
    tensor.hold();
    tensor.retire();
    return this.connection.sendTensor(tensor.outgoing(this.header(task, samples, outgoing, tensor.codecId)), signal).then(
      () => tensor.release(),
      (error: unknown) => {
        tensor.release(false);
        throw error;
      },
    );
  }

  private header({ run, task, round, version }: Task, samples: number, { kind, fragment, start }: OutgoingVector, codec: number): OutgoingTensor['header'] {
    return { run, kind, stage: this.worker, fragment, task, round, baseVersion: version, samples, codec, name: '', start };
  }
}

/** Coded as it lies. */
class LyingTensor implements OutgoingTensor {
  readonly length: number;
  readonly chunkLength: number;

  constructor(
    readonly header: OutgoingTensor['header'],
    private readonly values: Float32Array,
    chunkLength: number,
    private readonly codec: Codec,
    private readonly feedback: FeedbackEncoder | undefined,
    readonly loan: Loan | undefined,
  ) {
    this.length = values.length;
    this.chunkLength = Math.min(chunkLength, values.length);
  }

  chunk(offset: number, length: number): Uint8Array {
    const { codec, feedback } = this;
    const part = partOf(this.values, offset, length);
    return feedback === undefined ? codec.bytesIn!(part) : feedback.bytesIn!(codec.name, part);
  }
}
