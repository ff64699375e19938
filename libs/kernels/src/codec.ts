import { DEFAULT_TOP_K, LongtailError, type Codec, type CodecName, type TopKSpec } from '@longtail/core';
import {
  bytesOfRow,
  bytesOfRows,
  BLOCK_LENGTH,
  BYTES_PER_VALUE,
  ROW_FORMATS,
  type FloatFormat,
  type Kernels,
  type RowFormat,
} from './kernels.js';
import { checkBytes, notFinite, type SliceableCodec } from './sliceable-codec.js';
import { createTopKCodec } from './top-k.js';

/** Travels in frames: never renumber. */
export const CODEC_IDS: Readonly<Record<CodecName, number>> = {
  fp32: 0,
  fp16: 1,
  bf16: 2,
  int8: 3,
  int4: 4,
  int2: 5,
  sign: 6,
  'top-k': 7,
};

const CODEC_NAMES = Object.keys(CODEC_IDS) as readonly CodecName[];

/**
 * Values of a flat vector that share a scale: 4 bytes are 0.4 % of int8's and 3 % of sign's, while a block still lies in one
 * tensor as a rule.
 */
const FLAT_ROW = 1024;

/**
 * `fp32` copies. `fp16` keeps 11 significant bits (relative error ≤ 2^-11) from 6.1e-5 up to 65504, which greater values
 * pass to become infinite; below, the error is at most 2^-25. `bf16` keeps 8 significant bits (relative error ≤ 2^-8) over
 * float32's normal range.
 *
 * The others give each row a scale of its own (kernels.ts, `RowFormat`), and each block of 1024 values of a flat vector.
 * `int8` and `int4`: an error of at most half a scale, the greatest magnitude / 127 or / 7. `int2` and `sign`: together no more
 * than the squared norm, less wherever a row is not zero. Rows of more than 16,384 values are cut. A row with a NaN or an
 * infinity arrives as values that are not finite; a flat vector with one is refused.
 *
 * `top-k` keeps the greatest magnitudes of each block of 4096 values exactly or coded, and nothing of the others.
 */
export function createCodec(name: CodecName, kernels: Kernels, topK: TopKSpec = DEFAULT_TOP_K): SliceableCodec {
  if (name === 'top-k') return createTopKCodec(kernels, CODEC_IDS[name], topK);
  return isRowFormat(name) ? new RowCodec(name, kernels) : new FloatCodec(name, kernels);
}

function isRowFormat(name: CodecName): name is RowFormat {
  return (ROW_FORMATS as readonly CodecName[]).includes(name);
}

/** The codecs that contributions may come in by the id in the frames, all on the same kernels. */
export class CodecTable {
  private readonly byId: ReadonlyMap<number, SliceableCodec>;

  constructor(kernels: Kernels) {
    this.byId = new Map(CODEC_NAMES.map((name) => [CODEC_IDS[name], createCodec(name, kernels)]));
  }

  /** @throws LongtailError `protocol` for another id. */
  get(id: number): SliceableCodec {
    const codec = this.byId.get(id);
    if (codec !== undefined) return codec;
    throw new LongtailError(`unknown codec ${id}`, {
      code: 'protocol',
      hint: `This version knows ${CODEC_NAMES.map((name) => `${CODEC_IDS[name]} (${name})`).join(', ')}; run the same version on both sides.`,
    });
  }
}

class FloatCodec implements SliceableCodec {
  readonly id: number;
  readonly bytesIn: Codec['bytesIn'];

  constructor(
    readonly name: FloatFormat,
    private readonly kernels: Kernels,
  ) {
    this.id = CODEC_IDS[name];
    this.bytesIn = name === 'fp32' ? asBytes : undefined;
  }

  maxBytes(length: number): number {
    return length * BYTES_PER_VALUE[this.name];
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

  slice(bytes: Uint8Array, _length: number, from: number, count: number): Uint8Array {
    return bytes.subarray(this.maxBytes(from), this.maxBytes(from + count));
  }

  valuesIn({ buffer, byteOffset, length }: Uint8Array): Float32Array | undefined {
    return this.name === 'fp32' && byteOffset % 4 === 0 ? new Float32Array(buffer, byteOffset, length / 4) : undefined;
  }
}

class RowCodec implements SliceableCodec {
  readonly id: number;

  constructor(
    readonly name: RowFormat,
    private readonly kernels: Kernels,
  ) {
    this.id = CODEC_IDS[name];
  }

  maxBytes(length: number, rowLength?: number): number {
    return bytesOfRows(this.name, length, scaled(rowLength));
  }

  encode(values: Float32Array, out: Uint8Array, rowLength?: number): number {
    const bytes = out.subarray(0, this.maxBytes(values.length, rowLength));
    this.kernels.encodeRows(this.name, values, bytes, scaled(rowLength));
    if (rowLength === undefined) this.checkFinite(values, bytes);
    return bytes.length;
  }

  decode(bytes: Uint8Array, out: Float32Array, rowLength?: number): void {
    const of = rowLength === undefined ? this.name : `${this.name} in rows of ${rowLength}`;
    checkBytes(bytes, this.maxBytes(out.length, rowLength), out.length, of);
    this.kernels.decodeRows(this.name, bytes, out, scaled(rowLength));
  }

  decodeAccumulate(bytes: Uint8Array, accumulator: Float32Array, weight: number): void {
    this.checkSize(bytes, accumulator.length);
    this.kernels.accumulateRows(this.name, bytes, accumulator, FLAT_ROW, weight);
  }

  checkSize(bytes: Uint8Array, length: number): void {
    checkBytes(bytes, this.maxBytes(length), length, this.name);
  }

  slice(bytes: Uint8Array, _length: number, from: number, count: number): Uint8Array {
    return bytes.subarray(this.maxBytes(from), this.maxBytes(from + count));
  }

  /** The scale of a row that is not is infinite, in its upper half already. */
  private checkFinite(values: Float32Array, bytes: Uint8Array): void {
    const rowBytes = bytesOfRow(this.name, FLAT_ROW);
    for (let at = 0; at < bytes.length; at += rowBytes) {
      if (bytes[at + 3] === 0x7f && bytes[at + 2] === 0x80) throw notFinite(values, this.name);
    }
  }
}

/** Values that share a scale. */
function scaled(rowLength = FLAT_ROW): number {
  return Math.max(1, Math.min(rowLength, BLOCK_LENGTH));
}

function asBytes({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
