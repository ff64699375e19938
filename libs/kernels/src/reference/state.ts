import { STATE_BLOCK } from '@longtail/core';
import { assertLength, bytesOfRows, SCALE_BYTES, type StateKernels } from '../kernels.js';
import { STATE_MAPS, type StateMap } from '../state-map.js';

const { fround } = Math;

export const referenceStateKernels: StateKernels = {
  encodeState(map, values, bytes) {
    assertLength(bytes.length, bytesOfRows('int8', values.length, STATE_BLOCK.length), 'bytes');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    for (let start = 0; start < values.length; start += STATE_BLOCK.length) {
      const block = values.subarray(start, start + STATE_BLOCK.length);
      const scale = scaleOf(block);
      view.setFloat32(at, scale, true);
      at += SCALE_BYTES;
      for (const value of block) view.setUint8(at++, scale === 0 || scale === Infinity ? 0 : codeOf(STATE_MAPS[map], value, scale));
    }
  },

  decodeState(map, bytes, out) {
    assertLength(bytes.length, bytesOfRows('int8', out.length, STATE_BLOCK.length), 'bytes');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    let scale = 0;
    for (let i = 0; i < out.length; i++) {
      if (i % STATE_BLOCK.length === 0) {
        scale = view.getFloat32(at, true);
        at += SCALE_BYTES;
      }
      out[i] = STATE_MAPS[map].values[view.getUint8(at++)]! * scale;
    }
  },
};

function scaleOf(block: Float32Array): number {
  if (!block.every(Number.isFinite)) return Infinity;
  const greatest = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return greatest === 0 || block.includes(greatest) ? greatest : -greatest;
}

function codeOf({ borders, leastOfPositive }: StateMap, value: number, scale: number): number {
  const part = fround(value / scale);
  const nearest = borders.findIndex((border) => part <= border);
  return Math.max(nearest, value > 0 ? leastOfPositive : 0);
}
