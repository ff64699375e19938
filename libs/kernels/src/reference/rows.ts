import { assertLength, bytesOfRows, SCALE_BYTES, type RowKernels } from '../kernels.js';
import { roundHalfToEven } from './round.js';

const { fround } = Math;

const SMALLEST_SCALE = 2 ** -126;

export const referenceRowKernels: RowKernels = {
  encodeRows(values, bytes, rowLength) {
    assertLength(bytes.length, bytesOfRows(values.length, rowLength), 'bytes');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    for (let start = 0; start < values.length; start += rowLength) {
      const row = values.subarray(start, start + rowLength);
      const scale = scaleOf(row);
      view.setFloat32(at, scale, true);
      at += SCALE_BYTES;
      for (const value of row) view.setInt8(at++, scale === Infinity ? 0 : roundHalfToEven(fround(value * fround(1 / scale))));
    }
  },

  decodeRows(bytes, out, rowLength) {
    assertLength(bytes.length, bytesOfRows(out.length, rowLength), 'bytes');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    let scale = 0;
    for (let i = 0; i < out.length; i++) {
      if (i % rowLength === 0) {
        scale = view.getFloat32(at, true);
        at += SCALE_BYTES;
      }
      out[i] = view.getInt8(at++) * scale;
    }
  },
};

function scaleOf(row: Float32Array): number {
  const greatest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return Number.isFinite(greatest) ? Math.max(fround(greatest / 127), SMALLEST_SCALE) : Infinity;
}
