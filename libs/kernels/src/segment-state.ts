import { isStateQuantized, optimizerStateCount, STATE_BLOCK, type OptimizerSpec, type StateVector } from '@longtail/core';
import { BLOCK_LENGTH, bytesOfRows, type Kernels } from './kernels.js';
import type { StateMapName } from './state-map.js';

/** A state vector of the optimizer in kernel memory. */
export interface SegmentState {
  readonly kept: StateVector;
  /** Values [from, to) in float32, for a step to change: at most `BLOCK_LENGTH`. */
  take(from: number, to: number): Float32Array;
  /** What was taken last is stepped. */
  put(from: number, to: number): void;
}

/** A block's values, and those that share a scale with its first and its last one. */
const SCRATCH_LENGTH = BLOCK_LENGTH + 2 * STATE_BLOCK.length;

/** The vectors that `createSegmentState` will allocate for `length` parameters, in values. */
export function segmentStateVectors(optimizer: OptimizerSpec, length: number): readonly number[] {
  const vectors = isStateQuantized(optimizer) ? [bytesOfRows('int8', length, STATE_BLOCK.length) / 4, SCRATCH_LENGTH] : [length];
  return Array.from({ length: optimizerStateCount(optimizer) }, () => vectors.map(Math.ceil)).flat();
}

export function createSegmentState(optimizer: OptimizerSpec, length: number, kernels: Kernels): readonly SegmentState[] {
  const maps = ['signed', 'unsigned'] as const;
  return Array.from({ length: optimizerStateCount(optimizer) }, (_, i) =>
    isStateQuantized(optimizer) ? new BlockwiseState(kernels, maps[i]!, length) : new FloatState(kernels.allocate(length)),
  );
}

class FloatState implements SegmentState {
  constructor(readonly kept: Float32Array) {}

  take(from: number, to: number): Float32Array {
    return this.kept.subarray(from, to);
  }

  put(): void {
    // They were stepped where they are.
  }
}

/** Values of a block that a step has reached, until it has reached them all. */
interface CutBlock {
  readonly values: Float32Array;
  missing: number;
}

/**
 * In 8 bits, block by block; only what a step works on is float32 meanwhile. Where a chunk ends within a block, the block is
 * coded when the step has reached all of it: the bits do not depend on how a step is cut.
 */
class BlockwiseState implements SegmentState {
  readonly kept: Uint8Array;
  private readonly scratch: Float32Array;
  private readonly cut = new Map<number, CutBlock>();

  constructor(
    private readonly kernels: Kernels,
    private readonly map: StateMapName,
    private readonly length: number,
  ) {
    const bytes = bytesOfRows('int8', length, STATE_BLOCK.length);
    const room = kernels.allocate(Math.ceil(bytes / 4));
    this.kept = new Uint8Array(room.buffer, room.byteOffset, bytes);
    this.scratch = kernels.allocate(SCRATCH_LENGTH);
  }

  take(from: number, to: number): Float32Array {
    const start = blockStart(from);
    const end = this.blockEnd(to);
    const values = this.scratch.subarray(0, end - start);
    this.kernels.decodeState(this.map, this.coded(start, end), values);
    return values.subarray(from - start, to - start);
  }

  put(from: number, to: number): void {
    const start = blockStart(from);
    const head = from === start ? from : Math.min(to, this.blockEnd(from));
    const tail = Math.max(head, to === this.length ? to : blockStart(to));
    if (from < head) this.putPart(from, this.scratch.subarray(from - start, head - start));
    if (head < tail) this.kernels.encodeState(this.map, this.scratch.subarray(head - start, tail - start), this.coded(head, tail));
    if (tail < to) this.putPart(tail, this.scratch.subarray(tail - start, to - start));
  }

  /** Values from `from` on, within one block. */
  private putPart(from: number, values: Float32Array): void {
    const start = blockStart(from);
    const end = this.blockEnd(start + 1);
    let block = this.cut.get(start);
    if (block === undefined) this.cut.set(start, (block = { values: new Float32Array(end - start), missing: end - start }));
    block.values.set(values, from - start);
    block.missing -= values.length;
    if (block.missing > 0) return;
    this.kernels.encodeState(this.map, block.values, this.coded(start, end));
    this.cut.delete(start);
  }

  /** The bytes of the blocks from `start`, where one begins, to `end`, where one ends. */
  private coded(start: number, end: number): Uint8Array {
    const at = bytesOfRows('int8', start, STATE_BLOCK.length);
    return this.kept.subarray(at, at + bytesOfRows('int8', end - start, STATE_BLOCK.length));
  }

  private blockEnd(at: number): number {
    return Math.min(this.length, Math.ceil(at / STATE_BLOCK.length) * STATE_BLOCK.length);
  }
}

function blockStart(at: number): number {
  return at - (at % STATE_BLOCK.length);
}
