import type { AllocateTensor, Codec, ParameterShard } from '@longtail/core';
import { BufferPool, EncodedTensor, type FillChunk } from './encoded-tensor.js';
import type { Grid } from './grid.js';

/** Parameters as they are sent: whoever has them in float32 has them exactly. */
export interface Published {
  readonly tensor: EncodedTensor;
  readonly exact: boolean;
}

/** Chunks worked on before the event loop has a turn. */
export const CHUNKS_A_TURN = 4;
/** One version on its way to slow receivers, one being made. */
const SPARE_BUFFERS = 2;

/** The shard's parameters and moments, coded once a version and sent to whoever needs them. */
export class OutgoingParameters {
  private readonly pool: BufferPool;
  private published: readonly Published[] = [];

  /** `turn` lets sockets have a turn. */
  constructor(
    private readonly turn: () => Promise<void>,
    allocate?: AllocateTensor,
  ) {
    this.pool = new BufferPool(SPARE_BUFFERS, allocate);
  }

  /** The tensor that a version will be sent as; tensors of older versions are sent to nobody new. */
  publish(grid: Grid, version: number, codec: Codec, fill: FillChunk): Published {
    this.retireBefore(version);
    const tensor = new EncodedTensor(grid, version, codec.id, codec.maxBytes(grid.chunkLength), fill, this.pool);
    const published = { tensor, exact: codec.name === 'fp32' };
    this.published = [...this.published, published];
    return published;
  }

  /** Parameters of the shard's present version, coded the first time somebody needs them. Whole when it resolves. */
  async current(shard: ParameterShard, grid: Grid, version: number, codec: Codec): Promise<Published> {
    const there = this.published.find(({ tensor, exact }) => tensor.version === version && (exact || codec.name !== 'fp32'));
    if (there !== undefined) return there;
    const published = this.publish(grid, version, codec, ({ offset, length }, out) =>
      shard.encodeParameters(offset, length, codec.id, out),
    );
    await this.finish(published.tensor);
    return published;
  }

  /** The optimizer's moments of the shard's present version, in float32. Whole when it resolves. */
  async moments(shard: ParameterShard, grid: Grid, version: number, count: number, codec: Codec): Promise<readonly EncodedTensor[]> {
    const values = new Float32Array(Math.min(grid.chunkLength, grid.length));
    const tensors = Array.from({ length: count }, (_, index) => {
      const fill: FillChunk = ({ offset, length }, out) => {
        const slice = values.subarray(0, length);
        shard.readState(index, slice, offset);
        return codec.encode(slice, out);
      };
      return new EncodedTensor(grid, version, codec.id, codec.maxBytes(grid.chunkLength), fill, this.pool);
    });
    for (const tensor of tensors) await this.finish(tensor);
    return tensors;
  }

  /** Codes what is not coded yet, with turns for the sockets. */
  async finish(tensor: EncodedTensor): Promise<void> {
    for (let chunk = 1; !tensor.complete; chunk++) {
      tensor.advance();
      if (chunk % CHUNKS_A_TURN === 0) await this.turn();
    }
  }

  clear(): void {
    this.published = [];
    this.pool.clear();
  }

  /** Tensors of older versions are sent to nobody new. */
  retireBefore(version: number): void {
    for (const { tensor } of this.published) if (tensor.version < version) tensor.retire();
    this.published = this.published.filter(({ tensor }) => tensor.version >= version);
  }
}
