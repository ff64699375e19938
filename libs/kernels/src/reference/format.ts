import { assertLength, BYTES_PER_VALUE, type FloatFormat, type FormatKernels } from '../kernels.js';
import { roundHalfToEven } from './round.js';

const { fround } = Math;

export const referenceFormatKernels: FormatKernels = {
  encode(format, values, bytes) {
    assertLength(bytes.length, values.length * BYTES_PER_VALUE[format], 'bytes');
    const view = viewOf(bytes);
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
    for (let i = 0; i < values.length; i++) {
      if (format === 'fp32') view.setUint32(4 * i, bits[i]!, true);
      else view.setUint16(2 * i, format === 'fp16' ? toFp16(values[i]!, bits[i]!) : toBf16(bits[i]!), true);
    }
  },

  decode(format, bytes, out) {
    assertLength(bytes.length, out.length * BYTES_PER_VALUE[format], 'bytes');
    const view = viewOf(bytes);
    for (let i = 0; i < out.length; i++) out[i] = valueAt(view, format, i);
  },

  decodeAccumulate(format, bytes, accumulator, weight) {
    assertLength(bytes.length, accumulator.length * BYTES_PER_VALUE[format], 'bytes');
    const view = viewOf(bytes);
    const w = fround(weight);
    for (let i = 0; i < accumulator.length; i++) {
      accumulator[i] = accumulator[i]! + fround(w * valueAt(view, format, i));
    }
  },
};

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function valueAt(view: DataView, format: FloatFormat, i: number): number {
  if (format === 'fp32') return view.getFloat32(4 * i, true);
  const half = view.getUint16(2 * i, true);
  return format === 'fp16' ? fromFp16(half) : fromBf16(half);
}

/** binary16: sign, 5 bits of exponent with bias 15, 10 bits of significand. */
function toFp16(value: number, bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return sign | 0x7e00;
  if (magnitude >= 65_520) return sign | 0x7c00; // halfway between the greatest finite value and the one after it
  if (magnitude < 2 ** -14) return sign | roundHalfToEven(magnitude * 2 ** 24);
  const exponent = ((bits >>> 23) & 0xff) - 127;
  // A significand rounded up to 1024 carries into the exponent, as it should.
  return sign | (((exponent + 15) << 10) + roundHalfToEven((magnitude / 2 ** exponent - 1) * 1024));
}

function fromFp16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 31;
  const significand = half & 1023;
  if (exponent === 31) return significand === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * significand * 2 ** -24;
  return sign * (1 + significand / 1024) * 2 ** (exponent - 15);
}

/** The upper half of binary32, rounded; NaNs are made quiet, lest rounding turn them into infinities. */
function toBf16(bits: number): number {
  const isNaN = (bits & 0x7fffffff) > 0x7f800000;
  return isNaN ? (bits >>> 16) | 0x40 : roundHalfToEven(bits / 65_536);
}

function fromBf16(half: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint16(0, half);
  return view.getFloat32(0);
}
