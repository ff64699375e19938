import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createKernels, createVector } from './create-kernels.js';
import { BLOCK_LENGTH, type Kernels } from './kernels.js';

const ROOM = 3 * BLOCK_LENGTH;
const wasm = createKernels({ vectors: [ROOM, ROOM, ROOM, ROOM] });
const rooms = [0, 1, 2, 3].map(() => wasm.allocate(ROOM));
const reference = createKernels({ implementation: 'reference' });

/** Everything float32 has: zeros of both signs, subnormals, infinities, NaN. */
const anyFloat = fc.oneof(fc.float(), fc.float({ min: -2, max: 2, noNaN: true }));
const coefficient = fc.float({ min: -2, max: 2, noNaN: true });

/** `count` vectors of one length, tails of every size, and whether each lies in kernel memory. */
function vectors(count: number, element: fc.Arbitrary<number> = anyFloat) {
  return fc
    .nat({ max: 40 })
    .chain((length) =>
      fc
        .tuple(...Array.from({ length: count }, () => fc.array(element, { minLength: length, maxLength: length })))
        .chain((arrays) => fc.array(fc.boolean(), { minLength: count, maxLength: count }).map((resident) => ({ arrays, resident }))),
    );
}

/** Deterministic values of ordinary size, for lengths that cross blocks. */
function ramp(length: number, seed: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(seed + i * 0.7319) * 3);
}

/** Runs `operation` on both kernels, on copies of `inputs`, and expects every vector and result to agree. */
function expectAgreement(
  inputs: readonly ArrayLike<number>[],
  resident: readonly boolean[],
  operation: (kernels: Kernels, vectors: Float32Array[]) => unknown,
): void {
  const expected = inputs.map((values) => Float32Array.from(values));
  const actual = inputs.map((values, i) => {
    if (!resident[i]) return Float32Array.from(values);
    const vector = rooms[i]!.subarray(1, 1 + values.length); // off the cache line, to test unaligned access too
    vector.set(values);
    return vector;
  });
  expect(operation(wasm, actual)).toEqual(operation(reference, expected));
  actual.forEach((vector, i) => {
    if (!sameBits(vector, expected[i]!)) expect([...vector], `vector ${i}`).toEqual([...expected[i]!]);
  });
}

/** Equal bits, but for the payload of NaN. */
function sameBits(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
}

type Case = [name: string, count: number, run: (kernels: Kernels, v: Float32Array[], c: readonly number[]) => unknown];

const operations: Case[] = [
  ['accumulate', 2, (k, [acc, x], [w]) => k.accumulate(acc!, x!, w!)],
  ['sumInto', 4, (k, [out, ...inputs]) => k.sumInto(out!, inputs)],
  ['sumInto of one', 2, (k, [out, x]) => k.sumInto(out!, [x!])],
  ['sumInto in place', 2, (k, [out, x]) => k.sumInto(out!, [out!, x!])],
  ['sumInto of none', 1, (k, [out]) => k.sumInto(out!, [])],
  ['scale', 1, (k, [x], [f]) => k.scale(x!, f!)],
  ['subtract', 3, (k, [out, a, b]) => k.subtract(out!, a!, b!)],
  ['subtract in place', 2, (k, [a, b]) => k.subtract(a!, a!, b!)],
  ['dot', 2, (k, [a, b]) => k.dot(a!, b!)],
  ['sgd', 2, (k, [p, g], [a, b, c]) => k.sgd(p!, g!, { gradientScale: a!, learningRate: b!, weightDecay: c! })],
  [
    'sgdMomentum',
    3,
    (k, [p, g, m], [a, b, c, d, e, f]) =>
      k.sgdMomentum(p!, g!, m!, {
        gradientScale: a!,
        learningRate: b!,
        weightDecay: c!,
        momentum: d!,
        direct: e!,
        carried: f!,
      }),
  ],
  [
    'adam',
    4,
    (k, [p, g, m, v], [a, b, c, d, e, f]) =>
      k.adam(p!, g!, m!, v!, {
        gradientScale: a!,
        l2: b!,
        keep: c!,
        oneMinusBeta1: d!,
        beta2: e!,
        oneMinusBeta2: 1 - e!,
        stepSize: f!,
        rootScale: 1.7,
        epsilon: 1e-8,
      }),
  ],
];

describe.each(operations)('%s', (_name, count, run) => {
  const coefficients = fc.array(coefficient, { minLength: 6, maxLength: 6 });

  it('gives the same bits in WASM as in the reference, wherever the vectors lie', () => {
    fc.assert(
      fc.property(vectors(count), coefficients, ({ arrays, resident }, c) =>
        expectAgreement(arrays, resident, (kernels, v) => run(kernels, v, c)),
      ),
    );
  });

  it.each([BLOCK_LENGTH, 2 * BLOCK_LENGTH + 5])('does so over %i values', (length) => {
    const inputs = Array.from({ length: count }, (_, i) => ramp(length, i));
    const c = [0.3, 0.01, 0.99, 0.1, 0.7, 0.9];
    for (const resident of [true, false]) {
      expectAgreement(inputs, new Array<boolean>(count).fill(resident), (kernels, v) => run(kernels, v, c));
    }
  });
});

describe('inspect', () => {
  it('finds a single non-finite value at any place', () => {
    const length = BLOCK_LENGTH + 11;
    fc.assert(
      fc.property(fc.nat({ max: length - 1 }), fc.constantFrom(NaN, Infinity, -Infinity), (at, bad) => {
        const x = ramp(length, 1);
        expect(wasm.inspect(x).finite).toBe(true);
        x[at] = bad;
        expect(wasm.inspect(x).finite).toBe(false);
        expect(reference.inspect(x).finite).toBe(false);
      }),
      { numRuns: 20 },
    );
  });

  it('takes the largest finite values for what they are', () => {
    const x = new Float32Array(1000).fill(3.4028234663852886e38);
    expect(wasm.inspect(x)).toEqual(reference.inspect(x));
    expect(wasm.inspect(x).finite).toBe(true);
  });

  it('gives the same bits for a vector in the memory of other kernels', () => {
    for (const length of [7, BLOCK_LENGTH, 2 * BLOCK_LENGTH + 11]) {
      const x = createVector(length);
      expect([...x.subarray(0, 3)]).toEqual([0, 0, 0]);
      x.set(ramp(length, 1));
      expect(wasm.inspect(x)).toEqual(wasm.inspect(ramp(length, 1)));
      expect(wasm.inspect(x.subarray(3))).toEqual(wasm.inspect(ramp(length, 1).subarray(3)));
    }
  });

  it('gives 0 for no values', () => {
    expect(wasm.inspect(new Float32Array(0))).toEqual({ finite: true, sumOfSquares: 0 });
  });
});

describe('memory', () => {
  it('refuses operands of unequal length', () => {
    for (const kernels of [wasm, reference]) {
      expect(() => kernels.accumulate(new Float32Array(3), new Float32Array(4), 1)).toThrow('length 4, not 3');
    }
  });

  it('hands out only what was named, zeroed and apart', () => {
    const kernels = createKernels({ vectors: [5, 7] });
    const a = kernels.allocate(5);
    const b = kernels.allocate(7);
    a.fill(1);
    expect([...b]).toEqual(new Array(7).fill(0));
    expect(() => kernels.allocate(BLOCK_LENGTH)).toThrow('no room');
  });

  it('says so when a memory would pass 4 GiB', () => {
    expect(() => createKernels({ vectors: [2 ** 30] })).toThrow(expect.objectContaining({ code: 'internal' }));
  });

  it('works at addresses above 2 GiB', () => {
    const kernels = createKernels({ vectors: [600_000_000, 20_003, 20_003] });
    kernels.allocate(600_000_000);
    const [a, b] = [kernels.allocate(20_003), kernels.allocate(20_003)];
    a.set(ramp(20_003, 1));
    b.set(ramp(20_003, 2));
    const expected = ramp(20_003, 1);
    reference.accumulate(expected, ramp(20_003, 2), 0.5);
    kernels.accumulate(a, b, 0.5);
    expect(sameBits(a, expected)).toBe(true);
  });
});
