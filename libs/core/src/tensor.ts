export type DType = 'float32' | 'int32' | 'uint8';

/** A tensor in host memory, row-major; what crosses between data, engine and wire. */
export interface HostTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array | Uint8Array;
}

/** Values [start, start + length) of a flat vector. */
export interface VectorRange {
  readonly start: number;
  readonly length: number;
}

/** The same values, each in one range, in order. */
export function disjoint(ranges: readonly VectorRange[]): readonly VectorRange[] {
  const union: VectorRange[] = [];
  let end = 0;
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const start = Math.max(end, range.start);
    end = Math.max(end, range.start + range.length);
    if (end > start) union.push({ start, length: end - start });
  }
  return union;
}

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}
