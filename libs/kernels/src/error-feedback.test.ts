import { type CodecName, DEFAULT_TOP_K } from '@longtail/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createCodec } from './codec.js';
import { createKernels } from './create-kernels.js';
import { createErrorFeedback } from './error-feedback.js';
import { greatest } from './testing/greatest.js';

const kernels = createKernels();
const NAMES: readonly CodecName[] = ['fp16', 'bf16', 'int8', 'int4', 'int2', 'sign', 'top-k'];
const topK = { ...DEFAULT_TOP_K, density: 0.1 };

function vector(length: number, seed: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(seed * 3.1 + i * 1.7) + 0.2 * Math.cos(i));
}

describe.each(NAMES)('error feedback round %s', (codec) => {
  const { encode, decode, maxBytes } = coder(codec);

  it('loses nothing in the long run: what was sent and what is left are the sum of what came', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 12 }), fc.nat({ max: 1000 }), (length, rounds, seed) => {
        const feedback = createErrorFeedback({ length, topK });
        const [came, sent] = [new Float64Array(length), new Float64Array(length)];
        let left = new Float32Array(length);
        const out = new Uint8Array(maxBytes(length));
        for (let round = 0; round < rounds; round++) {
          const values = vector(length, seed + round);
          const due = left.map((value, i) => value + values[i]!);
          const bytes = out.subarray(0, feedback.encode(codec, values, 0, out));
          feedback.settle(true);
          expect(Buffer.compare(bytes, encode(due))).toBe(0);
          const decoded = decode(bytes, length);
          left = due.map((value, i) => value - decoded[i]!);
          came.forEach((sum, i) => (came[i] = sum + values[i]!));
          sent.forEach((sum, i) => (sent[i] = sum + decoded[i]!));
        }
        // float32 rounds each sum and each difference once; no residual here exceeds 16.
        expect(greatest(came.map((sum, i) => sum - sent[i]! - left[i]!))).toBeLessThanOrEqual(2 * rounds * 2 ** -20);
        expect(greatest(left)).toBeLessThan(16);
      }),
      { numRuns: 15 },
    );
  });

  it('codes the vector as the codec does while nothing was lost', () => {
    const values = vector(500, 1);
    const out = new Uint8Array(maxBytes(500));
    const written = createErrorFeedback({ length: 500, topK }).encode(codec, values, 0, out);
    expect(Buffer.compare(out.subarray(0, written), encode(values))).toBe(0);
  });

  it('forgets what was coded and had no effect, chunk by chunk', () => {
    const [a, b] = [createErrorFeedback({ length: 900, topK }), createErrorFeedback({ length: 900, topK })];
    const out = new Uint8Array(maxBytes(900));
    const chunk = (feedback: typeof a, seed: number, from: number, to: number) => {
      const written = feedback.encode(codec, vector(900, seed).subarray(from, to), from, out);
      return out.slice(0, written);
    };
    for (const feedback of [a, b]) {
      chunk(feedback, 1, 0, 400);
      chunk(feedback, 1, 400, 900);
      feedback.settle(true);
    }
    chunk(a, 2, 0, 400);
    chunk(a, 2, 400, 900);
    a.settle(false);
    chunk(a, 5, 0, 400);
    chunk(b, 5, 0, 400);
    for (const feedback of [a, b]) feedback.settle(true);
    expect(Buffer.compare(chunk(a, 3, 0, 400), chunk(b, 3, 0, 400))).toBe(0);
    expect(Buffer.compare(chunk(a, 3, 400, 900), chunk(b, 3, 400, 900))).toBe(0);
  });

  it('gives the same bytes in WASM as in the reference', () => {
    const length = 5000;
    const wasm = createErrorFeedback({ length, topK });
    const reference = createErrorFeedback({ length, topK, implementation: 'reference' });
    const [out, expected] = [new Uint8Array(maxBytes(length)), new Uint8Array(maxBytes(length))];
    for (let round = 0; round < 3; round++) {
      expect(wasm.encode(codec, vector(length, round), 0, out)).toBe(reference.encode(codec, vector(length, round), 0, expected));
      expect(Buffer.compare(out, expected)).toBe(0);
      for (const feedback of [wasm, reference]) feedback.settle(true);
    }
  });
});

it('keeps what one codec lost for whichever comes next', () => {
  const length = 1500;
  const everyCodec = fc.constantFrom<CodecName>('fp32', ...NAMES);
  fc.assert(
    fc.property(fc.array(everyCodec, { minLength: 1, maxLength: 8 }), fc.nat({ max: 1000 }), (names, seed) => {
      const feedback = createErrorFeedback({ length, topK });
      const due = new Float64Array(length);
      // In float32 nothing is lost: it brings home whatever the codecs before it left.
      for (const [round, name] of [...names, 'fp32' as const].entries()) {
        const { decode, maxBytes } = coder(name);
        const values = vector(length, seed + round);
        const out = new Uint8Array(maxBytes(length));
        const sent = decode(out.subarray(0, feedback.encode(name, values, 0, out)), length);
        feedback.settle(true);
        values.forEach((value, i) => (due[i] = due[i]! + value - sent[i]!));
      }
      expect(greatest(due)).toBeLessThanOrEqual(2 * (names.length + 1) * 2 ** -20);
    }),
    { numRuns: 20 },
  );
});

describe('a vector that is not finite', () => {
  it('is refused, and what was kept stays', () => {
    const feedback = createErrorFeedback({ length: 3 });
    const out = new Uint8Array(5);
    feedback.encode('sign', Float32Array.of(1, 2, 3), 0, out);
    feedback.settle(true);
    expect(() => feedback.encode('sign', Float32Array.of(1, NaN, 3), 0, out)).toThrow(expect.objectContaining({ where: 'value 1' }));
    feedback.settle(true);
    feedback.encode('sign', Float32Array.of(0, 0, 0), 0, out);
    expect(new DataView(out.buffer).getFloat32(0, true)).toBeCloseTo(2 / 3);
  });
});

function coder(name: CodecName) {
  const codec = createCodec(name, kernels, topK);
  return {
    maxBytes: (length: number) => codec.maxBytes(length),
    encode(values: Float32Array): Uint8Array {
      const out = new Uint8Array(codec.maxBytes(values.length));
      return out.subarray(0, codec.encode(values, out));
    },
    decode(bytes: Uint8Array, length: number): Float32Array {
      const out = new Float32Array(length);
      codec.decode(bytes, out);
      return out;
    },
  };
}
