import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { elementCount, LongtailError } from '@longtail/core';
import { kerasError } from './topology.js';
import type { WeightEntry, WeightGroup } from './topology.js';

/** Weights by full name, as float32, quantised ones restored. Throws LongtailError naming the file that is missing or short. */
export function readWeights(modelPath: string, groups: readonly WeightGroup[]): ReadonlyMap<string, Float32Array> {
  const weights = new Map<string, Float32Array>();
  for (const group of groups) {
    const bytes = Buffer.concat(group.paths.map((name) => readShard(modelPath, name)));
    let offset = 0;
    for (const entry of group.weights) {
      const length = elementCount(entry.shape) * storedBytes(modelPath, entry);
      if (offset + length > bytes.length) {
        throw new LongtailError(`Keras model: the weight files end inside ${entry.name}`, { code: 'invalid-file', where: join(dirname(modelPath), group.paths.join(', ')), hint: 'Copy the whole folder of the export again.' });
      }
      weights.set(entry.name, decode(bytes.subarray(offset, offset + length), entry));
      offset += length;
    }
  }
  return weights;
}

/** The file of a stranger names its shards: only what lies beside it or below is one. */
function readShard(modelPath: string, name: string): Buffer {
  const path = join(dirname(modelPath), name);
  if (isAbsolute(name) || name.split(/[\\/]/).includes('..')) throw kerasError(modelPath, `its weight file ${JSON.stringify(name)} is not beside it`, 'Copy the weight files beside model.json.');
  try {
    return readFileSync(path);
  } catch (error) {
    throw new LongtailError('a weight file of the Keras model cannot be read', { code: 'missing-file', where: path, cause: error, hint: 'Copy the weight files beside model.json.' });
  }
}

const STORED_BYTES: Readonly<Record<string, number>> = { float32: 4, int32: 4, uint16: 2, float16: 2, uint8: 1, bool: 1 };

function storedBytes(path: string, entry: WeightEntry): number {
  const dtype = entry.quantization?.dtype ?? entry.dtype;
  const bytes = STORED_BYTES[dtype];
  if (bytes === undefined) throw kerasError(path, `weight ${entry.name} has type ${dtype}`, 'Export with float32 weights.');
  return bytes;
}

/** Shards are little-endian and not aligned. */
function decode(bytes: Buffer, { shape, dtype, quantization }: WeightEntry): Float32Array {
  const values = new Float32Array(elementCount(shape));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = reader(view, quantization?.dtype ?? dtype);
  const { scale = 1, min = 0 } = quantization ?? {};
  for (let i = 0; i < values.length; i++) values[i] = read(i) * scale + min;
  return values;
}

function reader(view: DataView, dtype: string): (index: number) => number {
  switch (dtype) {
    case 'float32':
      return (i) => view.getFloat32(4 * i, true);
    case 'int32':
      return (i) => view.getInt32(4 * i, true);
    case 'uint16':
      return (i) => view.getUint16(2 * i, true);
    case 'float16':
      return (i) => halfToFloat(view.getUint16(2 * i, true));
    default:
      return (i) => view.getUint8(i);
  }
}

/** IEEE 754 binary16. */
export function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
