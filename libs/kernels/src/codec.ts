import { LongtailError, type Codec, type CodecName } from '@longtail/core';
import { BLOCK_LENGTH, bytesOfRows, BYTES_PER_VALUE, type FloatFormat, type Kernels } from './kernels.js';

/** A codec that can also add what it decodes, and whose bytes can be cut between values. */
export interface SliceableCodec extends Codec {
  readonly bytesPerValue: number;
  /** Throws LongtailError `protocol` unless `bytes` has the size of `length` values. */
  checkSize(bytes: Uint8Array, length: number): void;
  /** accumulator += weight · decoded. Throws like `decode`. */
  decodeAccumulate(bytes: Uint8Array, accumulator: Float32Array, weight: number): void;
}

/** Travels in frames: never renumber. */
export const CODEC_IDS: Readonly<Record<CodecName, number>> = { fp32: 0, fp16: 1, bf16: 2, int8: 3 };

const FLOAT_FORMATS = Object.keys(BYTES_PER_VALUE) as readonly FloatFormat[];

/**
 * `fp32` copies. `fp16` keeps 11 significant bits (relative error ≤ 2^-11) from 6.1e-5 up to 65504, which greater values
 * pass to become infinite; below, the error is at most 2^-25. `bf16` keeps 8 significant bits (relative error ≤ 2^-8) over
 * float32's normal range. `int8` gives a row a scale of its own, its greatest magnitude / 127, and each value an error of at
 * most half of it; rows of more than 16,384 values are cut, a row with a NaN or an infinity decodes to NaN as a whole.
 */
export function createCodec(name: FloatFormat, kernels: Kernels): SliceableCodec;
export function createCodec(name: CodecName, kernels: Kernels): Codec;
export function createCodec(name: CodecName, kernels: Kernels): Codec {
  return name === 'int8' ? new Int8Codec(kernels) : new FloatCodec(name, kernels);
}

/** The codecs that contributions may come in by the id in the frames, all on the same kernels. */
export class CodecTable {
  private readonly byId: ReadonlyMap<number, SliceableCodec>;

  constructor(kernels: Kernels) {
    this.byId = new Map(FLOAT_FORMATS.map((name) => [CODEC_IDS[name], createCodec(name, kernels)]));
  }

  /** @throws LongtailError `protocol` for another id. */
  get(id: number): SliceableCodec {
    const codec = this.byId.get(id);
    if (codec !== undefined) return codec;
    throw new LongtailError(`unknown codec ${id}`, {
      code: 'protocol',
      hint: `This version knows ${FLOAT_FORMATS.map((name) => `${CODEC_IDS[name]} (${name})`).join(', ')}; run the same version on both sides.`,
    });
  }
}

class FloatCodec implements SliceableCodec {
  readonly id: number;
  readonly bytesPerValue: number;

  constructor(
    readonly name: FloatFormat,
    private readonly kernels: Kernels,
  ) {
    this.id = CODEC_IDS[name];
    this.bytesPerValue = BYTES_PER_VALUE[name];
  }

  maxBytes(length: number): number {
    return length * this.bytesPerValue;
  }

  encode(values: Float32Array, out: Uint8Array): number {
    const bytes = this.maxBytes(values.length);
    this.kernels.encode(this.name, values, out.length === bytes ? out : out.subarray(0, bytes));
    return bytes;
  }

  decode(bytes: Uint8Array, out: Float32Array): void {
    this.checkSize(bytes, out.length);
    this.kernels.decode(this.name, bytes, out);
  }

  decodeAccumulate(bytes: Uint8Array, accumulator: Float32Array, weight: number): void {
    this.checkSize(bytes, accumulator.length);
    this.kernels.decodeAccumulate(this.name, bytes, accumulator, weight);
  }

  checkSize(bytes: Uint8Array, length: number): void {
    checkBytes(bytes, this.maxBytes(length), length, this.name);
  }
}

class Int8Codec implements Codec {
  readonly id = CODEC_IDS.int8;
  readonly name = 'int8';

  constructor(private readonly kernels: Kernels) {}

  maxBytes(length: number, rowLength?: number): number {
    return bytesOfRows(length, scaled(length, rowLength));
  }

  encode(values: Float32Array, out: Uint8Array, rowLength?: number): number {
    const bytes = this.maxBytes(values.length, rowLength);
    this.kernels.encodeRows(values, out.subarray(0, bytes), scaled(values.length, rowLength));
    return bytes;
  }

  decode(bytes: Uint8Array, out: Float32Array, rowLength?: number): void {
    checkBytes(bytes, this.maxBytes(out.length, rowLength), out.length, `${this.name} in rows of ${rowLength ?? out.length}`);
    this.kernels.decodeRows(bytes, out, scaled(out.length, rowLength));
  }
}

/** Values that share a scale. */
function scaled(length: number, rowLength = length): number {
  return Math.max(1, Math.min(rowLength, BLOCK_LENGTH));
}

function checkBytes(bytes: Uint8Array, expected: number, length: number, what: string): void {
  if (bytes.length === expected) return;
  throw new LongtailError(`${bytes.length} bytes are not ${length} values of ${what}, which take ${expected}`, { code: 'protocol' });
}
