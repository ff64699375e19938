import { LongtailError, type Codec, type CodecName } from '@longtail/core';

/** A codec whose bytes can be cut between blocks, and which can add what it decodes. */
export interface SliceableCodec extends Codec {
  /** Throws LongtailError `protocol` unless `bytes` has the size of `length` values. */
  checkSize(bytes: Uint8Array, length: number): void;
  /** The bytes of values [from, from + count) out of those of `length`; `from` is a multiple of `BLOCK_LENGTH`, as is `count` but at the end. */
  slice(bytes: Uint8Array, length: number, from: number, count: number): Uint8Array;
  /** The values, where the bytes are just that; undefined: they must be decoded. @default they must */
  valuesIn?(bytes: Uint8Array): Float32Array | undefined;
  /** accumulator += weight · decoded. Throws like `decode`. */
  decodeAccumulate(bytes: Uint8Array, accumulator: Float32Array, weight: number): void;
}

/** Says which value is not. */
export function notFinite(values: Float32Array, codec: CodecName): LongtailError {
  const at = values.findIndex((value) => !Number.isFinite(value));
  return new LongtailError(`value ${at} of ${values.length} is ${values[at]}: ${codec} codes finite values only`, {
    code: 'diverged',
    where: `value ${at}`,
  });
}

/** Throws LongtailError `protocol`. */
export function checkBytes(bytes: Uint8Array, expected: number, length: number, what: string): void {
  if (bytes.length === expected) return;
  throw new LongtailError(`${bytes.length} bytes are not ${length} values of ${what}, which take ${expected}`, { code: 'protocol' });
}
