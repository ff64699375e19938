import { LongtailError, type AllocateTensor, type Clock, type Codec, type FeedbackEncoder, type TensorKind } from '@longtail/core';
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

  /** The same of one vector. */
  sendOne(task: Task, samples: number, { kind, fragment, start, tensor }: Outgoing, signal: AbortSignal): Promise<void> {
    const { run, task: id, round, version } = task;
    const header = { run, kind, stage: this.worker, fragment, task: id, round, baseVersion: version, samples, codec: tensor.codecId, name: '', start };
    tensor.acquire();
    tensor.retire();
    return this.connection.sendTensor(tensor.outgoing(header), signal).then(
      () => tensor.release(true),
      (error: unknown) => {
        tensor.release(false);
        throw LongtailError.from(error, 'unreachable');
      },
    );
  }
}
