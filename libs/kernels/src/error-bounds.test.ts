import { type CodecName, DEFAULT_TOP_K } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createCodec } from './codec.js';
import { createKernels } from './create-kernels.js';

const kernels = createKernels();
const topK = { ...DEFAULT_TOP_K, values: 'fp16', density: 0.1 } as const;

const sum = (values: Float32Array, of: (value: number) => number) => values.reduce((total, value) => total + of(value), 0);
const squares = (values: Float32Array) => sum(values, (value) => value * value);

/** Values that are coded together, and what each may lose at most: squared, in all, of a block. */
interface Bound {
  readonly block: number;
  most(values: Float32Array): number;
}

const each = (part: number): Bound => ({ block: 1, most: ([value]) => (part * value!) ** 2 });
/** Every value half a step of the greatest / `most`, which is rounded up to 16 bits. */
const steps = (most: number): Bound => ({
  block: 1024,
  most: (values) => values.length * (0.5 * (1 + 2 ** -14) * values.reduce((greatest, value) => Math.max(greatest, Math.abs(value)), 0) / most) ** 2,
});
/** The best that one magnitude for all can do, but for the rounding of it; two do no worse. */
const magnitude = (rounding: number): Bound => ({
  block: 1024,
  most: (values) => (1 + rounding ** 2) * squares(values) - sum(values, Math.abs) ** 2 / values.length,
});
/** The greatest are at least their share of the norm; what is kept loses what fp16 does. */
const greatest = (kept: number): Bound => ({ block: 4096, most: (values) => (1 - keptOf(values.length, kept) / values.length + 2 ** -22) * squares(values) });
/** A shorter block keeps as great a part. */
const keptOf = (length: number, kept: number) => Math.ceil((kept * length) / 4096);

const BOUNDS: Readonly<Record<CodecName, Bound>> = {
  fp32: each(0),
  fp16: each(2 ** -11),
  bf16: each(2 ** -8),
  int8: steps(127),
  int4: steps(7),
  int2: magnitude(2 ** -8),
  sign: magnitude(2 ** -10),
  'top-k': greatest(Math.ceil(topK.density * 4096)),
};

const LENGTHS = [...Array.from({ length: 70 }, (_, i) => i), 127, 1023, 1024, 1025, 2049, 4095, 4096, 4097, 5003];
const ordinary = fc.infiniteStream(fc.oneof(fc.float({ min: -2, max: 2, noNaN: true }), fc.constantFrom(0, 1, -1, 2 ** -10)));

test.each(Object.entries(BOUNDS))('%s loses no more than it may, at every length: nothing, one, odd, and at the borders of blocks', (name, { block, most }) => {
  const codec = createCodec(name as CodecName, kernels, topK);
  for (const length of LENGTHS) {
    fc.assert(
      fc.property(ordinary, (stream) => {
        // Whole multiples of 2^-12: no exponent of any format ends above it.
        const values = Float32Array.from({ length }, () => Math.round(4096 * (stream.next().value as number)) / 4096);
        const bytes = new Uint8Array(codec.maxBytes(length));
        const decoded = new Float32Array(length).fill(NaN);
        codec.decode(bytes.subarray(0, codec.encode(values, bytes)), decoded);
        const lost = decoded.map((value, i) => value - values[i]!);
        const blocks = Array.from({ length: Math.ceil(length / block) }, (_, i) => [i * block, (i + 1) * block] as const);
        const beyond = blocks.find(([from, to]) => !(squares(lost.subarray(from, to)) <= most(values.subarray(from, to))));
        expect(beyond, `values that lose too much, of ${length}`).toBeUndefined();
      }),
      { numRuns: 4 },
    );
  }
});
