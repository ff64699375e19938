import { type CodecName, DEFAULT_TOP_K, type TopKSpec } from '@longtail/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createCodec } from './codec.js';
import { createKernels } from './create-kernels.js';
import { BLOCK_LENGTH } from './kernels.js';
import type { SliceableCodec } from './sliceable-codec.js';
import { greatest } from './testing/greatest.js';

const wasm = createKernels();
const reference = createKernels({ implementation: 'reference' });

interface Case {
  readonly label: string;
  readonly name: CodecName;
  readonly topK?: TopKSpec;
}

const topK = (label: string, changes: Partial<TopKSpec>): Case => ({
  label: `top-k, ${label}`,
  name: 'top-k',
  topK: { ...DEFAULT_TOP_K, ...changes },
});

const DENSE: readonly Case[] = (['int8', 'int4', 'int2', 'sign'] as const).map((name) => ({ label: name, name }));
const SPARSE: readonly Case[] = [
  topK('2 bits', {}),
  topK('8 bits', { values: 'int8', density: 0.3 }),
  topK('fp16', { values: 'fp16', density: 0.05 }),
  topK('all of it', { values: 'fp16', density: 1 }),
  topK('sampled', { selection: 'sampled', density: 0.02 }),
];
const ALL = [...DENSE, ...SPARSE];

/** Every finite float32, every exponent as likely as any other. */
const anyFinite = fc
  .integer({ min: 0, max: 0xffffffff })
  .map((bits) => new Float32Array(Uint32Array.of(bits).buffer)[0]!)
  .filter(Number.isFinite);
const ordinary = fc.float({ min: -2, max: 2, noNaN: true });
/** As many equal magnitudes as can be. */
const few = fc.constantFrom(0, -0, 1, -1, 0.5);
const lengths = fc.oneof(fc.nat({ max: 40 }), fc.constantFrom(1023, 1024, 1025, 4095, 4097, 5003));

const vectors = fc
  .tuple(lengths, fc.oneof(fc.constant(anyFinite), fc.constant(ordinary), fc.constant(few)))
  .chain(([length, value]) => fc.infiniteStream(value).map((stream) => Float32Array.from({ length }, () => stream.next().value as number)));

function encode(codec: SliceableCodec, values: Float32Array): Uint8Array {
  const out = new Uint8Array(codec.maxBytes(values.length) + 8);
  const written = codec.encode(values, out);
  expect(written).toBeLessThanOrEqual(out.length - 8);
  return out.slice(0, written);
}

function decode(codec: SliceableCodec, bytes: Uint8Array, length: number): Float32Array {
  const out = new Float32Array(length).fill(7);
  codec.decode(bytes, out);
  return out;
}

function expectSame(actual: Float32Array | Uint8Array, expected: Float32Array | Uint8Array): void {
  const of = (array: Float32Array | Uint8Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  if (Buffer.compare(of(actual), of(expected)) === 0) return;
  const at = of(actual).findIndex((byte, i) => byte !== of(expected)[i]);
  const i = Math.floor(at / actual.BYTES_PER_ELEMENT);
  expect({ length: actual.length, at: i, is: actual[i] }).toEqual({ length: expected.length, at: i, is: expected[i] });
}

function squaredNorm(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}

/** Of ordinary size; the great ones lie anywhere. */
function noise(length: number, seed: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(seed + i * 12.9898) ** 3 * (1 + (i % 7)));
}

describe.each(ALL)('$label', ({ name, topK }) => {
  const codec = createCodec(name, wasm, topK);
  const oracle = createCodec(name, reference, topK);

  it('codes, decodes and adds to the same bits as the reference, at every length', () => {
    fc.assert(
      fc.property(vectors, (values) => {
        const bytes = encode(codec, values);
        expectSame(bytes, encode(oracle, values));
        const decoded = decode(codec, bytes, values.length);
        expectSame(decoded, decode(oracle, bytes, values.length));
        const [sum, expected] = [values.slice(), values.slice()];
        codec.decodeAccumulate(bytes, sum, -0.75);
        oracle.decodeAccumulate(bytes, expected, -0.75);
        expectSame(sum, expected);
      }),
      { numRuns: 60 },
    );
  });

  it('does so over several blocks, and from any address', () => {
    const values = noise(2 * BLOCK_LENGTH + 4099, 3);
    const bytes = encode(codec, values);
    expectSame(bytes, encode(oracle, values));
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    expectSame(decode(codec, shifted.subarray(3), values.length), decode(oracle, bytes, values.length));
  });

  it('is cut into blocks that decode on their own', () => {
    const values = noise(2 * BLOCK_LENGTH + 77, 5);
    const bytes = encode(codec, values);
    const whole = decode(codec, bytes, values.length);
    for (const [from, count] of [
      [0, BLOCK_LENGTH],
      [BLOCK_LENGTH, BLOCK_LENGTH],
      [2 * BLOCK_LENGTH, 77],
    ] as const) {
      expectSame(decode(codec, codec.slice(bytes, values.length, from, count), count), whole.subarray(from, from + count));
    }
  });

  it('loses less than the vector’s norm, unless there is nothing to lose', () => {
    fc.assert(
      fc.property(vectors, (list) => {
        const values = list.map((value) => (Math.abs(value) > 2 ** -20 && Math.abs(value) < 2 ** 60 ? value : 0));
        const lost = decode(codec, encode(codec, values), values.length).map((value, i) => value - values[i]!);
        const norm = squaredNorm(values);
        expect(squaredNorm(lost)).toBeLessThanOrEqual(norm * (1 + 1e-6));
        if (norm > 0) expect(squaredNorm(lost)).toBeLessThan(norm);
      }),
      { numRuns: 60 },
    );
  });

  it('says where a value is not finite', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9000 }), fc.nat(), fc.constantFrom(NaN, Infinity, -Infinity), (length, place, bad) => {
        const values = noise(length, 1);
        const at = place % length;
        values[at] = bad;
        for (const coder of [codec, oracle]) {
          expect(() => coder.encode(values, new Uint8Array(coder.maxBytes(length)))).toThrow(
            expect.objectContaining({ code: 'diverged', where: `value ${at}`, message: expect.stringContaining(`is ${bad}`) }),
          );
        }
      }),
      { numRuns: 10 },
    );
  });

  it('refuses bytes that are cut off, or have more behind them', () => {
    const values = noise(4100, 1);
    const bytes = encode(codec, values);
    for (const wrong of [bytes.subarray(0, -1), Uint8Array.of(...bytes, 0), new Uint8Array(0), bytes.subarray(0, 1)]) {
      expect(() => decode(codec, wrong, values.length)).toThrow(expect.objectContaining({ code: 'protocol' }));
    }
  });
});

/** A sampled threshold is another one for what was decoded. */
const REPEATABLE = ALL.filter(({ topK }) => topK?.selection !== 'sampled');

describe.each(REPEATABLE)('$label', ({ name, topK }) => {
  const codec = createCodec(name, wasm, topK);

  it('codes what it decoded to the same values', () => {
    fc.assert(
      fc.property(vectors, (list) => {
        // Values, scales and parts of scales are normal numbers of their formats: below nothing keeps its significant bits, and
        // from 2^127 on what is rounded up may be infinite.
        const least = Math.max(2 ** -100, greatest(list) * 2 ** -12);
        const values = list.map((value) => (Math.abs(value) >= least && Math.abs(value) < 2 ** 127 ? value : 0));
        const once = decode(codec, encode(codec, values), values.length);
        const again = decode(codec, encode(codec, once), values.length);
        const withoutSignOfZero = (vector: Float32Array) => vector.map((value) => value + 0);
        expectSame(withoutSignOfZero(again), withoutSignOfZero(once));
      }),
      { numRuns: 60 },
    );
  });
});

describe.each([
  ['int8', 127],
  ['int4', 7],
] as const)('%s', (name, most) => {
  const codec = createCodec(name, wasm);

  it('is off by half a scale at most, and what is lost is exact', () => {
    fc.assert(
      fc.property(vectors, (values) => {
        const decoded = decode(codec, encode(codec, values), values.length);
        for (let start = 0; start < values.length; start += 1024) {
          const block = values.subarray(start, start + 1024);
          const lost = Array.from(block, (value, i) => value - decoded[start + i]!);
          expect(greatest(lost)).toBeLessThanOrEqual(0.5 * Math.max(greatest(block) / most, 2 ** -126) * (1 + 2 ** -14));
          expect(lost.filter((value) => Math.fround(value) !== value)).toEqual([]);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('int2 and sign', () => {
  it.each([
    ['sign', 0.363],
    ['int2', 0.14],
  ] as const)('%s leaves %d of the squared norm of values from a Gaussian at most', (name, part) => {
    const codec = createCodec(name, wasm);
    const values = Float32Array.from({ length: 16_384 }, (_, i) => gaussian(i));
    const lost = decode(codec, encode(codec, values), values.length).map((value, i) => value - values[i]!);
    expect(squaredNorm(lost) / squaredNorm(values)).toBeLessThan(part * 1.05);
  });
});

/** Box and Muller, of a sequence that is spread evenly. */
function gaussian(i: number): number {
  const [u, v] = [(i + 0.5) / 16_384, (i * 0.618_033_988_75) % 1];
  return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
}

describe('top-k', () => {
  const kept = (values: Float32Array, spec: Partial<TopKSpec>) => {
    const codec = createCodec('top-k', wasm, { ...DEFAULT_TOP_K, values: 'fp16', ...spec });
    const decoded = decode(codec, encode(codec, values), values.length);
    return [...decoded.keys()].filter((i) => decoded[i] !== 0);
  };

  it('keeps the greatest of each block of 4096, and of equal ones the first', () => {
    const values = new Float32Array(4096 + 10).fill(0.5);
    values.set([3, -4], 100);
    values.set([9], 4100);
    expect(kept(values, { density: 4 / 4096 })).toEqual([0, 1, 100, 101, 4100]);
  });

  it('keeps no zeros', () => {
    const values = new Float32Array(4096);
    values.set([1, -1], 7);
    expect(kept(values, { density: 0.5 })).toEqual([7, 8]);
  });

  it('takes about 2 + log2(1 / density) bits a place, and a size known from the count', () => {
    const codec = createCodec('top-k', wasm);
    expect(encode(codec, noise(4096, 1)).length).toBe(2 + 4 + 16 + 48 + 16);
    expect(codec.maxBytes(10 * 4096)).toBe(10 * 86);
  });

  it('follows with a sampled threshold where the great values lie, within four times a block’s share', () => {
    const values = noise(16 * 4096, 1).map((value, i) => (i < 2 * 4096 ? value : value / 1000));
    const places = kept(values, { density: 0.02, selection: 'sampled' });
    expect(places.every((i) => i < 2 * 4096)).toBe(true);
    expect(places.length).toBeGreaterThan(2 * 0.02 * 2 * 4096);
    expect(places.length).toBeLessThanOrEqual(2 * 4 * Math.ceil(0.02 * 4096));
  });

  it('keeps about the part asked for where they lie anywhere', () => {
    const values = Float32Array.from({ length: 64 * 4096 }, (_, i) => gaussian((i * 7919) % 16_384) * (1 + 1e-6 * i));
    const places = kept(values, { density: 0.01, selection: 'sampled' });
    expect(places.length / values.length).toBeGreaterThan(0.006);
    expect(places.length / values.length).toBeLessThan(0.016);
  });

  describe('refuses, as the reference does,', () => {
    const codec = createCodec('top-k', wasm);
    const oracle = createCodec('top-k', reference);
    const bytes = encode(codec, noise(4096, 2));

    const broken = (change: (bytes: Uint8Array) => void, length = 4096) => {
      const copy = bytes.slice();
      change(copy);
      for (const coder of [codec, oracle]) {
        expect(() => decode(coder, copy, length)).toThrow(expect.objectContaining({ code: 'protocol' }));
        expect(() => coder.decodeAccumulate(copy, new Float32Array(length), 1)).toThrow(expect.objectContaining({ code: 'protocol' }));
      }
    };

    it('places beyond the block, in wrong number, or out of order', () => {
      const upper = { from: 6, to: 6 + 16 };
      broken((b) => b.fill(0, upper.from, upper.to));
      broken((b) => b.fill(255, upper.from, upper.to));
      // All in the first group of 64 by their upper bits, all with the same lower bits.
      broken((b) => b.fill(255, upper.from, upper.from + 8).fill(0, upper.from + 8, 86));
    });

    it('a count above the block’s length, and a format that is none', () => {
      broken((b) => b.set([0xff, 0x1f]));
      broken((b) => (b[1] = 0xe0));
      broken(() => undefined, 63);
      broken(() => undefined, 8192);
    });

    it('or decodes, whatever the bytes, to what the reference makes of them, and writes nowhere else', () => {
      fc.assert(
        fc.property(fc.uint8Array({ minLength: 80, maxLength: 80 }), fc.boolean(), (noiseBytes, sparse) => {
          const copy = bytes.slice();
          if (sparse) for (const byte of noiseBytes.subarray(0, 3)) copy[6 + (byte % 80)]! ^= byte;
          else copy.set(noiseBytes, 6);
          const outcome = (coder: SliceableCodec) => {
            const out = new Float32Array(4096);
            try {
              coder.decode(copy, out);
              return [...out];
            } catch (error) {
              return (error as Error).message;
            }
          };
          expect(outcome(codec)).toEqual(outcome(oracle));
        }),
        { numRuns: 300 },
      );
    });
  });
});
