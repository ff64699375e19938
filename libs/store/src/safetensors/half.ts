const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** float32 → IEEE 754 half precision, to nearest even; too large becomes infinite. */
export function toFloat16(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0];
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // rounds to 65536 or more
  if (magnitude >= 0x38800000) {
    const rebased = magnitude - 0x38000000; // exponent bias 127 → 15
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  // Subnormal: adding 0.5 aligns the mantissa so that the hardware rounds where half precision ends.
  scratch[0] = Math.abs(value);
  scratch[0] += 0.5;
  return sign | (scratchBits[0] - 0x3f000000);
}

/** IEEE 754 half precision → number, exactly. */
export function fromFloat16(half: number): number {
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 0x1f) return mantissa ? NaN : sign * Infinity;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** float32 → bfloat16, to nearest even. */
export function toBfloat16(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0];
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x40) & 0xffff; // NaN stays one
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** bfloat16 → number, exactly. */
export function fromBfloat16(half: number): number {
  scratchBits[0] = half << 16;
  return scratch[0];
}
