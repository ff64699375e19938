import { LongtailError } from '@longtail/core';

/**
 * The safetensors format (Hugging Face): a little-endian uint64 with the length of the header, the header as a JSON
 * object { name: { dtype, shape, data_offsets: [begin, end] }, …, "__metadata__": { string: string } }, then the tensors'
 * bytes, row-major and little-endian, without holes.
 */
export type SafetensorsDType = keyof typeof DTYPES;

/** Bytes a value, and the rank by which the reference implementation orders tensors: descending, so that all are aligned. */
const DTYPES = {
  BOOL: { bytes: 1, rank: 0 },
  U8: { bytes: 1, rank: 1 },
  I8: { bytes: 1, rank: 2 },
  F8_E5M2: { bytes: 1, rank: 3 },
  F8_E4M3: { bytes: 1, rank: 4 },
  I16: { bytes: 2, rank: 5 },
  U16: { bytes: 2, rank: 6 },
  F16: { bytes: 2, rank: 7 },
  BF16: { bytes: 2, rank: 8 },
  I32: { bytes: 4, rank: 9 },
  U32: { bytes: 4, rank: 10 },
  F32: { bytes: 4, rank: 11 },
  F64: { bytes: 8, rank: 12 },
  I64: { bytes: 8, rank: 13 },
  U64: { bytes: 8, rank: 14 },
} as const;

export interface TensorInfo {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
}

export interface TensorEntry extends TensorInfo {
  /** Bytes [begin, end) of the data. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** The reference implementation's limit. */
const MAX_HEADER_BYTES = 100_000_000;
const METADATA = '__metadata__';
/** Length of the header, and its alignment: data then starts aligned for every dtype. */
export const PREFIX_BYTES = 8;

/** Bytes a value of a dtype. */
export function dtypeBytes(dtype: SafetensorsDType): number {
  return DTYPES[dtype].bytes;
}

/** The length of the JSON that follows the first eight bytes. LongtailError `invalid-file` for one that cannot be. */
export function decodePrefix(prefix: Uint8Array, fileBytes: number, where: string): number {
  if (prefix.length < PREFIX_BYTES) throw invalid(`it has ${fileBytes} bytes, too few for a header`, where);
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) throw invalid(`its header claims ${length} bytes`, where);
  if (PREFIX_BYTES + Number(length) > fileBytes) throw invalid(`its header claims ${length} bytes, the file has ${fileBytes}`, where);
  return Number(length);
}

/** Decodes and checks a header: nothing in it may be taken on trust. `dataBytes` is what follows it in the file. LongtailError `invalid-file`. */
export function decodeHeader(json: Uint8Array, dataBytes: number, where: string): SafetensorsHeader {
  const fields = parseObject(json, where);
  const tensors = new Map<string, TensorEntry>();
  for (const [name, value] of Object.entries(fields)) if (name !== METADATA) tensors.set(name, decodeEntry(name, value, where));
  let end = 0;
  for (const [name, entry] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    if (entry.begin !== end) throw invalid(`tensor ${quote(name)} begins at byte ${entry.begin}; the one before it ends at ${end}`, where);
    end = entry.end;
  }
  if (end !== dataBytes) throw invalid(`its tensors need ${end} bytes, the file has ${dataBytes}`, where);
  return { metadata: decodeMetadata(fields[METADATA], where), tensors };
}

export interface EncodedHeader {
  /** Prefix, JSON and padding: everything before the data. */
  readonly bytes: Uint8Array;
  /** Names in the order of their data. */
  readonly order: readonly string[];
}

/** The header of tensors that are written in the order returned: the bytes that the reference implementation writes. */
export function encodeHeader(tensors: ReadonlyMap<string, TensorInfo>, metadata: ReadonlyMap<string, string>): EncodedHeader {
  if (tensors.has(METADATA)) throw new Error(`a tensor may not be called ${METADATA}`);
  const order = [...tensors.keys()].sort(
    (a, b) => DTYPES[tensors.get(b)!.dtype].rank - DTYPES[tensors.get(a)!.dtype].rank || compareUtf8(a, b),
  );
  // Not an object literal: keys such as "1" would move to the front, and "__proto__" would vanish.
  const fields: string[] = [];
  if (metadata.size > 0)
    fields.push(`${quote(METADATA)}:{${[...metadata].map(([key, value]) => `${quote(key)}:${quote(value)}`).join(',')}}`);
  let begin = 0;
  for (const name of order) {
    const { dtype, shape } = tensors.get(name)!;
    const end = begin + byteLength({ dtype, shape });
    fields.push(`${quote(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
    begin = end;
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const length = Math.ceil(json.length / PREFIX_BYTES) * PREFIX_BYTES;
  const bytes = new Uint8Array(PREFIX_BYTES + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, PREFIX_BYTES);
  return { bytes, order };
}

/** Bytes of a tensor's data. */
export function byteLength({ dtype, shape }: TensorInfo): number {
  return shape.reduce((product, dimension) => product * dimension, dtypeBytes(dtype));
}

function decodeEntry(name: string, value: unknown, where: string): TensorEntry {
  if (!isObject(value)) throw invalid(`the entry of tensor ${quote(name)} is no object`, where);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPES, dtype))
    throw invalid(`tensor ${quote(name)} has the unknown dtype ${JSON.stringify(dtype)}`, where);
  if (!isSizes(shape)) throw invalid(`tensor ${quote(name)} has the impossible shape ${JSON.stringify(shape)}`, where);
  if (!isSizes(offsets) || offsets.length !== 2)
    throw invalid(`tensor ${quote(name)} has impossible offsets ${JSON.stringify(offsets)}`, where);
  const [begin, end] = offsets;
  const entry = { dtype: dtype as SafetensorsDType, shape, begin, end };
  const bytes = byteLength(entry);
  if (!Number.isSafeInteger(bytes) || end - begin !== bytes)
    throw invalid(
      `tensor ${quote(name)} of shape [${shape.join(', ')}] and ${dtype} needs ${bytes} bytes, its offsets span ${end - begin}`,
      where,
    );
  return entry;
}

function decodeMetadata(value: unknown, where: string): ReadonlyMap<string, string> {
  if (value === undefined) return new Map();
  if (!isObject(value) || !Object.values(value).every((text) => typeof text === 'string'))
    throw invalid('its metadata are not texts', where);
  return new Map(Object.entries(value) as [string, string][]);
}

function parseObject(json: Uint8Array, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    throw invalid('its header is not JSON', where, cause);
  }
  if (!isObject(value)) throw invalid('its header is no JSON object', where);
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function quote(text: string): string {
  return JSON.stringify(text);
}

/** By code point, as Rust compares strings; JavaScript compares UTF-16 units. */
function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function invalid(what: string, where: string, cause?: unknown): LongtailError {
  return new LongtailError(`Not a valid safetensors file: ${what}.`, {
    code: 'invalid-file',
    where,
    hint: 'Copy or export the file again.',
    cause,
  });
}
