import { isStateQuantized, STATE_BLOCK, type OptimizerSpec } from '@longtail/core';
import { CodecTable } from './codec.js';
import { createKernels } from './create-kernels.js';
import { BLOCK_LENGTH, type Kernels, type KernelsImplementation } from './kernels.js';
import { createSegmentState, segmentStateVectors, type SegmentState } from './segment-state.js';
import { MAX_MEMORY_VALUES } from './wasm/workspace.js';

/** The part of a shard that one kernel memory holds: values [start, start + length). */
export interface Segment {
  readonly start: number;
  readonly length: number;
  readonly kernels: Kernels;
  readonly codecs: CodecTable;
  readonly parameters: Float32Array;
  /** What those who follow by differences hold; empty where nobody does. */
  readonly view: Float32Array;
  readonly state: readonly SegmentState[];
  /** One block, in which contributions are added up. */
  readonly accumulator: Float32Array;
}

export interface SegmentsOptions {
  readonly length: number;
  readonly optimizer: OptimizerSpec;
  /** Keep a view. @default false */
  readonly followed?: boolean;
  readonly implementation?: KernelsImplementation;
  readonly segmentLength?: number;
}

/** Lays a shard over as few memories as hold it; there is at least one. */
export function createSegments(options: SegmentsOptions): readonly Segment[] {
  const { optimizer, followed = false } = options;
  const segmentLength = wholeBlocks(optimizer, options.segmentLength ?? longestSegment(optimizer, followed));
  const segments: Segment[] = [];
  let start = 0;
  do {
    const length = Math.min(segmentLength, options.length - start);
    segments.push(createSegment(start, length, options));
    start += length;
  } while (start < options.length);
  return segments;
}

/** In whole blocks, so that every vector and the accumulator end on a cache line. */
function longestSegment(optimizer: OptimizerSpec, followed: boolean): number {
  const fixed = BLOCK_LENGTH + sum(segmentStateVectors(optimizer, 0));
  const values = (followed ? 2 : 1) + (sum(segmentStateVectors(optimizer, BLOCK_LENGTH)) - sum(segmentStateVectors(optimizer, 0))) / BLOCK_LENGTH;
  return Math.floor((MAX_MEMORY_VALUES - fixed) / values / BLOCK_LENGTH) * BLOCK_LENGTH;
}

/** No block of 8-bit state lies in two memories. */
function wholeBlocks(optimizer: OptimizerSpec, length: number): number {
  return isStateQuantized(optimizer) ? Math.max(1, Math.floor(length / STATE_BLOCK.length)) * STATE_BLOCK.length : length;
}

function sum(lengths: readonly number[]): number {
  return lengths.reduce((total, length) => total + length, 0);
}

function createSegment(start: number, length: number, { optimizer, followed, implementation }: SegmentsOptions): Segment {
  const viewed = followed ? length : 0;
  const kernels = createKernels({ vectors: [BLOCK_LENGTH, length, viewed, ...segmentStateVectors(optimizer, length)], implementation });
  return {
    start,
    length,
    kernels,
    codecs: new CodecTable(kernels),
    accumulator: kernels.allocate(BLOCK_LENGTH),
    parameters: kernels.allocate(length),
    view: kernels.allocate(viewed),
    state: createSegmentState(optimizer, length, kernels),
  };
}
