import { CodecTable } from './codec.js';
import { createKernels } from './create-kernels.js';
import { BLOCK_LENGTH, type Kernels, type KernelsImplementation } from './kernels.js';
import { MAX_MEMORY_VALUES } from './wasm/workspace.js';

/** The part of a shard that one kernel memory holds: values [start, start + length). */
export interface Segment {
  readonly start: number;
  readonly length: number;
  readonly kernels: Kernels;
  readonly codecs: CodecTable;
  readonly parameters: Float32Array;
  readonly state: readonly Float32Array[];
  /** One block, in which contributions are added up. */
  readonly accumulator: Float32Array;
}

export interface SegmentsOptions {
  readonly length: number;
  /** State vectors beside the parameters. */
  readonly stateCount: number;
  readonly implementation?: KernelsImplementation;
  readonly segmentLength?: number;
}

/** Lays a shard over as few memories as hold it; there is at least one. */
export function createSegments(options: SegmentsOptions): readonly Segment[] {
  const segmentLength = options.segmentLength ?? longestSegment(1 + options.stateCount);
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
function longestSegment(vectors: number): number {
  const available = (MAX_MEMORY_VALUES - BLOCK_LENGTH) / vectors;
  return Math.floor(available / BLOCK_LENGTH) * BLOCK_LENGTH;
}

function createSegment(start: number, length: number, { stateCount, implementation }: SegmentsOptions): Segment {
  const stateLengths = new Array<number>(stateCount).fill(length);
  const kernels = createKernels({ vectors: [BLOCK_LENGTH, length, ...stateLengths], implementation });
  return {
    start,
    length,
    kernels,
    codecs: new CodecTable(kernels),
    accumulator: kernels.allocate(BLOCK_LENGTH),
    parameters: kernels.allocate(length),
    state: stateLengths.map(() => kernels.allocate(length)),
  };
}
