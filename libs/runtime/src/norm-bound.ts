import type { ChunkInspection, CodedChunk, TensorHeader } from '@longtail/core';
import type { Delivery } from './delivery.js';

/** Of a segment: what a chunk of it covers. */
export type ChunkPlace = Pick<TensorHeader, 'fragment' | 'chunk' | 'offset' | 'length'>;

/**
 * The bound of a contribution's norm, over the parts of all members together. A part of the model that several of them send
 * (replicas of a stage, what is tied) counts as their sum, chunk by chunk as soon as all have sent it.
 */
export class NormBound {
  private readonly parts: Delivery[] = [];
  private sumOfSquares = 0;

  constructor(
    private readonly most: number,
    private readonly inspectSum: (chunk: ChunkPlace, contributions: readonly CodedChunk[]) => ChunkInspection,
  ) {}

  /** A part of the contribution, before anything of it came. */
  add(part: Delivery): void {
    this.parts.push(part);
  }

  /** A chunk of a gradient is there. Returns why the contribution is too large with it; undefined: it is not, as far as is known. */
  exceededWith(place: ChunkPlace, ownSumOfSquares: number): string | undefined {
    const { fragment, chunk } = place;
    const senders = this.parts.filter((part) => part.has('gradient', fragment));
    if (!senders.every((part) => part.hasChunk('gradient', fragment, chunk))) return undefined;
    const coded = () => senders.map((part) => part.coded('gradient', fragment, chunk));
    this.sumOfSquares += senders.length === 1 ? ownSumOfSquares : this.inspectSum(place, coded()).sumOfSquares;
    const norm = Math.sqrt(this.sumOfSquares);
    return norm > this.most ? `norm ${norm.toPrecision(3)} exceeds the bound ${this.most.toPrecision(3)}` : undefined;
  }
}
