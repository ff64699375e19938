import { LongtailError } from '@longtail/core';

/** Unsigned bytes with a shape, as yann.lecun.com's IDX files hold them. */
export interface IdxArray {
  readonly shape: readonly number[];
  /** A view into the file's bytes. */
  readonly data: Uint8Array;
}

const UNSIGNED_BYTE = 0x08;

/**
 * Decodes an IDX file of unsigned bytes: two zero bytes, the type, the number of dimensions, each dimension as a
 * big-endian uint32, the data. `where` names the file in errors. LongtailError `invalid-data`.
 */
export function decodeIdx(bytes: Uint8Array, dimensions: number, where: string): IdxArray {
  const header = 4 + 4 * dimensions;
  if (bytes.length < 4) throw truncated(where, header, bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0);
  const expected = (UNSIGNED_BYTE << 8) | dimensions;
  if (magic !== expected) {
    throw new LongtailError(
      `Not an IDX file of ${dimensions === 1 ? 'labels' : 'images'}: magic number ${hex(magic)}, expected ${hex(expected)}.`,
      {
        code: 'invalid-data',
        where,
        hint: 'Check that the file is what its name says, and that images and labels are not swapped.',
      },
    );
  }
  if (bytes.length < header) throw truncated(where, header, bytes.length);
  const shape = Array.from({ length: dimensions }, (_, i) => view.getUint32(4 + 4 * i));
  const end = header + shape.reduce((product, dimension) => product * dimension, 1);
  if (bytes.length < end) throw truncated(where, end, bytes.length);
  return { shape, data: bytes.subarray(header, end) };
}

function truncated(where: string, expected: number, found: number): LongtailError {
  return new LongtailError(`The IDX file is cut off: ${found} bytes of ${expected}.`, {
    code: 'invalid-data',
    where,
    hint: 'Download or copy the file again.',
  });
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
