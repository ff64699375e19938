/** Values a chunk: 1 MiB of float32. Both ends of a session must use the same. */
export const CHUNK_LENGTH = 262_144;

/** A flat vector of at least one value, cut into chunks of `chunkLength`; the last may be shorter. */
export interface Grid {
  readonly length: number;
  readonly chunkLength: number;
  readonly chunks: number;
}

export function gridOf(length: number, chunkLength: number): Grid {
  return { length, chunkLength: Math.min(chunkLength, length), chunks: Math.ceil(length / chunkLength) };
}

/** Elements [offset, offset + length) of a vector: itself where those are all. */
export function partOf<Vector extends Float32Array | Uint8Array>(vector: Vector, offset: number, length: number): Vector {
  return length === vector.length ? vector : (vector.subarray(offset, offset + length) as Vector);
}

/** Values [offset, offset + length) of a chunk. */
export function chunkSpan(grid: Grid, chunk: number): { readonly offset: number; readonly length: number } {
  const offset = chunk * grid.chunkLength;
  return { offset, length: Math.min(grid.chunkLength, grid.length - offset) };
}
