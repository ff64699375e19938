import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { ParameterLayout } from '@longtail/core';
import { writeAtomic, writeFully } from '../atomic.js';
import { byteLength, encodeHeader, type SafetensorsDType } from './format.js';
import { toBfloat16, toFloat16 } from './half.js';

/** A tensor to write. Its data must not change until the write is over. */
export interface TensorSource {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** The values as the dtype stores them; F16 and BF16 also take float32, which is rounded to nearest even. */
  readonly data: Exclude<NodeJS.ArrayBufferView, DataView>;
}

export interface WrittenFile {
  readonly bytes: number;
  readonly sha256: string;
}

/** Bytes that are converted, hashed and written at a time. */
const CHUNK_BYTES = 4 << 20;

/** Writes a file as `writeAtomic` does, chunk by chunk: the model is never copied as a whole. LongtailError `storage`. */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorSource>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<WrittenFile> {
  return writeAtomic(path, (file) => writeTo(file, [...tensors], new Map(Object.entries(metadata))));
}

/** The tensors of a flat vector, as views into it, stored as float32 or rounded. */
export function tensorsOf(flat: Float32Array, layout: ParameterLayout, dtype: 'F32' | 'F16' | 'BF16' = 'F32', prefix = ''): TensorSource[] {
  if (flat.length !== layout.length) throw new Error(`a vector of ${flat.length} values for a layout of ${layout.length}`);
  return layout.slots.map(({ name, shape, offset, length }) => ({
    name: prefix + name,
    dtype,
    shape,
    data: flat.subarray(offset, offset + length),
  }));
}

async function writeTo(file: FileHandle, tensors: readonly TensorSource[], metadata: ReadonlyMap<string, string>): Promise<WrittenFile> {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  if (byName.size !== tensors.length) throw new Error('two tensors have the same name');
  const hash = createHash('sha256');
  let bytes = 0;
  const write = async (chunk: Uint8Array): Promise<void> => {
    await writeFully(file, chunk);
    hash.update(chunk);
    bytes += chunk.length;
  };
  const header = encodeHeader(byName, metadata);
  await write(header.bytes);
  for (const name of header.order) for (const chunk of chunksOf(byName.get(name)!)) await write(chunk);
  return { bytes, sha256: hash.digest('hex') };
}

function* chunksOf(tensor: TensorSource): Generator<Uint8Array> {
  const { name, dtype, data } = tensor;
  const round = data instanceof Float32Array ? (dtype === 'F16' ? toFloat16 : dtype === 'BF16' ? toBfloat16 : undefined) : undefined;
  const stored = round ? data.length * 2 : data.byteLength;
  if (stored !== byteLength(tensor)) throw new Error(`tensor ${name}: ${stored} bytes for shape [${tensor.shape.join(', ')}] of ${dtype}`);
  if (!round) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
    return;
  }
  const values = data as Float32Array;
  const rounded = new Uint16Array(Math.min(values.length, CHUNK_BYTES / 2));
  for (let at = 0; at < values.length; at += rounded.length) {
    const count = Math.min(rounded.length, values.length - at);
    for (let i = 0; i < count; i++) rounded[i] = round(values[at + i]);
    yield new Uint8Array(rounded.buffer, 0, count * 2);
  }
}
