import { LongtailError, type TopKSpec } from '@longtail/core';
import type { Kernels, SparseSelection } from './kernels.js';
import { notFinite, type SliceableCodec } from './sliceable-codec.js';
import { checkSparse, mostSparseBytes, sliceSparse, SPARSE_BLOCK } from './sparse.js';

/** Values that a threshold is estimated from. */
const SAMPLES = 4096;
/** What reaches a sampled threshold may be so many times the share of a block, where the great values lie together. */
const MOST_OF_SHARE = 4;

/**
 * The values of greatest magnitude of each block (sparse.ts). `exact` keeps ⌈density · 4096⌉ of a block, fewer only where the
 * others are 0. `sampled` keeps what reaches the magnitude that this share of a sample of the chunk, evenly spaced, reaches,
 * but at most four times its share of a block: the count follows where the great values lie.
 */
export function createTopKCodec(kernels: Kernels, id: number, topK: TopKSpec): SliceableCodec {
  return new TopKCodec(kernels, id, topK);
}

class TopKCodec implements SliceableCodec {
  readonly name = 'top-k';
  private readonly keep: number;
  private readonly most: number;

  constructor(
    private readonly kernels: Kernels,
    readonly id: number,
    private readonly topK: TopKSpec,
  ) {
    this.keep = Math.min(SPARSE_BLOCK, Math.ceil(topK.density * SPARSE_BLOCK));
    this.most = topK.selection === 'exact' ? this.keep : Math.min(SPARSE_BLOCK, MOST_OF_SHARE * this.keep);
  }

  keeping(topK: TopKSpec): SliceableCodec {
    return new TopKCodec(this.kernels, this.id, topK);
  }

  maxBytes(length: number): number {
    return mostSparseBytes(this.topK.values, length, this.most);
  }

  encode(values: Float32Array, out: Uint8Array): number {
    const written = this.kernels.encodeSparse(this.topK.values, values, out, this.select(values));
    if (written < 0) throw notFinite(values, this.name);
    return written;
  }

  decode(bytes: Uint8Array, out: Float32Array): void {
    this.checkSize(bytes, out.length);
    this.checkPlaces(this.kernels.decodeSparse(bytes, out));
  }

  decodeAccumulate(bytes: Uint8Array, accumulator: Float32Array, weight: number): void {
    this.checkSize(bytes, accumulator.length);
    this.checkPlaces(this.kernels.accumulateSparse(bytes, accumulator, weight));
  }

  checkSize(bytes: Uint8Array, length: number): void {
    const problem = checkSparse(bytes, length);
    if (problem !== undefined) throw new LongtailError(`not ${length} values of top-k: ${problem}`, { code: 'protocol' });
  }

  slice(bytes: Uint8Array, length: number, from: number, count: number): Uint8Array {
    return sliceSparse(bytes, length, from, count);
  }

  private select(values: Float32Array): SparseSelection {
    const { keep, most, topK } = this;
    const threshold = topK.selection === 'exact' || values.length <= SPARSE_BLOCK ? 0 : this.sampledThreshold(values);
    return { keep, most, threshold };
  }

  private sampledThreshold(values: Float32Array): number {
    const stride = Math.ceil(values.length / SAMPLES);
    const sample = Float32Array.from({ length: Math.ceil(values.length / stride) }, (_, i) => values[i * stride]!);
    return this.kernels.magnitudeOfRank(sample, Math.ceil(this.topK.density * sample.length));
  }

  private checkPlaces(broken: number): void {
    if (broken < 0) return;
    throw new LongtailError(`not values of top-k: the places in the block of values from ${broken * SPARSE_BLOCK} do not increase within it`, {
      code: 'protocol',
    });
  }
}
