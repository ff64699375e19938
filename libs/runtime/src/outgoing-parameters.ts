import type { AllocateTensor, Codec, ParameterShard } from '@longtail/core';
import { BufferPools, EncodedTensor, type FillChunk } from './encoded-tensor.js';
import type { Segment } from './segments.js';

/** Parameters as they are sent, a tensor a segment: whoever has them in float32 has them exactly. */
export interface Published {
  readonly version: number;
  readonly segments: readonly Segment[];
  /** In the order of the segments. */
  readonly tensors: readonly EncodedTensor[];
  readonly exact: boolean;
}

/** Codes a chunk of a segment; `offset` counts from the begin of the whole vector. */
export type FillSegment = (span: { readonly offset: number; readonly length: number }, out: Uint8Array, segment: Segment, chunk: number) => number;

/** Chunks worked on before the event loop has a turn. */
export const CHUNKS_A_TURN = 4;
/** One version on its way to slow receivers, one being made. */
const SPARE_BUFFERS = 2;

/** The shard's parameters and moments, coded once a version and sent to whoever needs them. */
export class OutgoingParameters {
  private readonly pool: BufferPools;
  private published: readonly Published[] = [];

  /** `turn` lets sockets have a turn. */
  constructor(
    private readonly turn: () => Promise<void>,
    allocate?: AllocateTensor,
  ) {
    this.pool = new BufferPools(SPARE_BUFFERS, allocate);
  }

  /** The tensors that a version will be sent as; tensors of older versions are sent to nobody new. */
  publish(segments: readonly Segment[], version: number, codec: Codec, fill: FillSegment): Published {
    this.retireBefore(version);
    const tensors = segments.map((segment) => {
      const fillChunk: FillChunk = ({ offset, length }, out, chunk) => fill({ offset: segment.offset + offset, length }, out, segment, chunk);
      return new EncodedTensor(segment.grid, version, codec.id, codec.maxBytes(segment.grid.chunkLength), fillChunk, this.pool);
    });
    const published = { version, segments, tensors, exact: codec.name === 'fp32' };
    this.published = [...this.published, published];
    return published;
  }

  /** Parameters of the shard's present version, coded the first time somebody needs them. Whole when it resolves. */
  async current(shard: ParameterShard, segments: readonly Segment[], version: number, codec: Codec): Promise<Published> {
    const there = this.published.find(
      (published) => published.version === version && published.segments === segments && (published.exact || codec.name !== 'fp32'),
    );
    if (there !== undefined) return there;
    const published = this.publish(segments, version, codec, ({ offset, length }, out) =>
      shard.encodeParameters(offset, length, codec.id, out),
    );
    await this.finish(published.tensors);
    return published;
  }

  /** The optimizer's moments of the shard's present version, in float32, for a worker of one segment. Whole when it resolves. */
  async moments(shard: ParameterShard, { grid }: Segment, version: number, count: number, codec: Codec): Promise<readonly EncodedTensor[]> {
    const values = new Float32Array(Math.min(grid.chunkLength, grid.length));
    const tensors = Array.from({ length: count }, (_, index) => {
      const fill: FillChunk = ({ offset, length }, out) => {
        const slice = values.subarray(0, length);
        shard.readState(index, slice, offset);
        return codec.encode(slice, out);
      };
      return new EncodedTensor(grid, version, codec.id, codec.maxBytes(grid.chunkLength), fill, this.pool);
    });
    await this.finish(tensors);
    return tensors;
  }

  /** Codes what is not coded yet, with turns for the sockets. */
  async finish(tensors: readonly EncodedTensor[]): Promise<void> {
    for (const tensor of tensors) {
      for (let chunk = 1; !tensor.complete; chunk++) {
        tensor.advance();
        if (chunk % CHUNKS_A_TURN === 0) await this.turn();
      }
    }
  }

  /** The segments were cut anew: nothing coded before is sent to anybody new. */
  recut(): void {
    for (const { tensors } of this.published) for (const tensor of tensors) tensor.retire();
    this.published = [];
    this.pool.clear();
  }

  clear(): void {
    this.published = [];
    this.pool.clear();
  }

  /** Tensors of older versions are sent to nobody new. */
  retireBefore(version: number): void {
    for (const published of this.published) if (published.version < version) for (const tensor of published.tensors) tensor.retire();
    this.published = this.published.filter((published) => published.version >= version);
  }
}
