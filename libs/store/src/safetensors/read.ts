import { open, type FileHandle } from 'node:fs/promises';
import { LongtailError, type ParameterLayout } from '@longtail/core';
import { readFully } from '../atomic.js';
import { withStorageErrors } from '../storage-error.js';
import { decodeHeader, decodePrefix, dtypeBytes, PREFIX_BYTES, type SafetensorsHeader, type TensorEntry } from './format.js';
import { fromBfloat16, fromFloat16 } from './half.js';

/** An open file; close it. Every error is a LongtailError: `invalid-file`, `missing-file`, `storage`. */
export interface SafetensorsFile extends SafetensorsHeader {
  /** The bytes of a tensor as they are stored. */
  readBytes(name: string): Promise<Uint8Array>;
  /** The values of a tensor of any real dtype as float32, rounded where it is wider. `out` has the tensor's length. */
  readFloat32(name: string, out: Float32Array): Promise<void>;
  close(): Promise<void>;
}

/** Values converted at a time. */
const CHUNK_VALUES = 1 << 18;

/** Opens a file and checks its header; tensors are read when asked for. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await withStorageErrors('open the file', path, () => open(path, 'r'));
  try {
    return await withStorageErrors('read the file', path, () => readHeader(file, path));
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Reads every tensor of a layout into one flat vector. LongtailError `invalid-file` when the file has other tensors or shapes. */
export async function readFlat(
  path: string,
  layout: ParameterLayout,
  out: Float32Array = new Float32Array(layout.length),
  prefix = '',
): Promise<Float32Array> {
  const file = await openSafetensors(path);
  try {
    for (const slot of layout.slots) {
      const name = prefix + slot.name;
      const shape = file.tensors.get(name)?.shape;
      if (shape?.join() !== slot.shape.join()) {
        throw new LongtailError(
          `Tensor ${name} ${shape === undefined ? 'is not in the file' : `has shape [${shape.join(', ')}]`}; the model needs shape [${slot.shape.join(', ')}].`,
          {
            code: 'invalid-file',
            where: path,
            hint: 'Use the file with the model it was saved from.',
          },
        );
      }
      await file.readFloat32(name, out.subarray(slot.offset, slot.offset + slot.length));
    }
    return out;
  } finally {
    await file.close();
  }
}

async function readHeader(file: FileHandle, path: string): Promise<SafetensorsFile> {
  const { size } = await file.stat();
  const prefix = await readExactly(file, 0, Math.min(PREFIX_BYTES, size), path);
  const headerBytes = decodePrefix(prefix, size, path);
  const dataStart = PREFIX_BYTES + headerBytes;
  const header = decodeHeader(await readExactly(file, PREFIX_BYTES, headerBytes, path), size - dataStart, path);

  const entryOf = (name: string): TensorEntry => {
    const entry = header.tensors.get(name);
    if (!entry) throw new LongtailError(`There is no tensor ${name} in the file.`, { code: 'invalid-file', where: path });
    return entry;
  };
  return {
    ...header,
    async readBytes(name) {
      const { begin, end } = entryOf(name);
      return readExactly(file, dataStart + begin, end - begin, path);
    },
    async readFloat32(name, out) {
      const entry = entryOf(name);
      const width = dtypeBytes(entry.dtype);
      if (out.length * width !== entry.end - entry.begin)
        throw new Error(`tensor ${name} has ${(entry.end - entry.begin) / width} values, not ${out.length}`);
      if (entry.dtype === 'F32') {
        await readInto(file, dataStart + entry.begin, new Uint8Array(out.buffer, out.byteOffset, out.byteLength), path);
        return;
      }
      for (let at = 0; at < out.length; at += CHUNK_VALUES) {
        const count = Math.min(CHUNK_VALUES, out.length - at);
        const bytes = await readExactly(file, dataStart + entry.begin + at * width, count * width, path);
        convert(entry, bytes, out.subarray(at, at + count), path);
      }
    },
    close: () => file.close(),
  };
}

function convert({ dtype }: TensorEntry, bytes: Uint8Array, out: Float32Array, where: string): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const each = (value: (i: number) => number): void => {
    for (let i = 0; i < out.length; i++) out[i] = value(i);
  };
  switch (dtype) {
    case 'F64':
      return each((i) => view.getFloat64(8 * i, true));
    case 'F16':
      return each((i) => fromFloat16(view.getUint16(2 * i, true)));
    case 'BF16':
      return each((i) => fromBfloat16(view.getUint16(2 * i, true)));
    case 'I64':
      return each((i) => Number(view.getBigInt64(8 * i, true)));
    case 'U64':
      return each((i) => Number(view.getBigUint64(8 * i, true)));
    case 'I32':
      return each((i) => view.getInt32(4 * i, true));
    case 'U32':
      return each((i) => view.getUint32(4 * i, true));
    case 'I16':
      return each((i) => view.getInt16(2 * i, true));
    case 'U16':
      return each((i) => view.getUint16(2 * i, true));
    case 'I8':
      return each((i) => view.getInt8(i));
    case 'U8':
    case 'BOOL':
      return each((i) => view.getUint8(i));
    default:
      throw new LongtailError(`Tensors of dtype ${dtype} cannot be read as float32.`, {
        code: 'invalid-file',
        where,
        hint: 'Convert the file to F32, F16 or BF16.',
      });
  }
}

async function readExactly(file: FileHandle, position: number, length: number, path: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await readInto(file, position, bytes, path);
  return bytes;
}

async function readInto(file: FileHandle, position: number, out: Uint8Array, path: string): Promise<void> {
  if (await readFully(file, out, position)) return;
  throw new LongtailError('The file ended while it was read.', {
    code: 'invalid-file',
    where: path,
    hint: 'Copy or export the file again.',
  });
}
