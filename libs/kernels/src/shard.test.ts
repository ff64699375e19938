import { DEFAULT_TOP_K, freshState, type CodedChunk, type OptimizerSpec, type ParameterShard, type StateVector } from '@longtail/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CODEC_IDS, createCodec } from './codec.js';
import { createKernels } from './create-kernels.js';
import { BLOCK_LENGTH, type KernelsImplementation } from './kernels.js';
import { createOptimizer } from './optimizer.js';
import { createSegments } from './segment.js';
import { createShard } from './shard.js';

const sgd: OptimizerSpec = { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 };
const nesterov: OptimizerSpec = { type: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 0.01 };
const adamw: OptimizerSpec = {
  type: 'adam',
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  decoupled: true,
};
const adamw8: OptimizerSpec = { ...adamw, stateBits: 8 };

const kernels = createKernels();

function values(length: number, seed: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(seed * 1.7 + i * 0.37));
}

function coded(vector: Float32Array, name: keyof typeof CODEC_IDS = 'fp32', weight = 1): CodedChunk {
  const codec = createCodec(name, kernels);
  const bytes = new Uint8Array(codec.maxBytes(vector.length));
  return { bytes: bytes.subarray(0, codec.encode(vector, bytes)), codecId: codec.id, weight };
}

function parametersOf(shard: ParameterShard): Float32Array {
  const parameters = new Float32Array(shard.length);
  shard.readParameters(parameters);
  return parameters;
}

/** Parameters, then state as it is kept. */
function snapshot(shard: ParameterShard, optimizer: OptimizerSpec): StateVector[] {
  const state = freshState(optimizer, shard.length);
  state.forEach((vector, index) => shard.readState(index, vector));
  return [parametersOf(shard), ...state];
}

interface Setting {
  readonly implementation?: KernelsImplementation;
  readonly segmentLength?: number;
  /** Order and cut of the chunks. */
  readonly cuts: readonly (readonly [from: number, to: number])[];
}

/** Two steps over three contributions of different codecs and weights. */
function train(length: number, optimizer: OptimizerSpec, { cuts, ...options }: Setting): StateVector[] {
  const shard = createShard({ length, optimizer, ...options });
  shard.writeParameters(values(length, 1));
  const weights = [1, 0.5, 3];
  for (const step of [0, 1]) {
    shard.beginStep({ learningRate: 0.05 });
    for (const [from, to] of cuts) {
      const contributions = (['fp32', 'fp16', 'bf16'] as const).map((name, k) =>
        coded(values(length, 10 * step + k).subarray(from, to), name, weights[k]),
      );
      shard.stepChunk(from, to - from, contributions, 1 / 7);
    }
  }
  return snapshot(shard, optimizer);
}

describe.each([
  ['SGD', sgd],
  ['Nesterov', nesterov],
  ['AdamW', adamw],
  ['AdamW with moments in 8 bits', adamw8],
])('a step of %s', (_name, optimizer) => {
  it('gives the reference’s bits, however the shard is cut into chunks and memories and in whatever order they step', () => {
    const length = BLOCK_LENGTH + 517;
    const whole = train(length, optimizer, { implementation: 'reference', cuts: [[0, length]] });
    expect(whole.every((vector) => vector.some((value: number) => value !== 0))).toBe(true);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: length - 1 }), fc.integer({ min: 600, max: length }), (cut, segmentLength) => {
        const cuts = [
          [cut, length],
          [0, cut],
        ] as const;
        const parts = train(length, optimizer, { segmentLength, cuts });
        expectSame(parts, whole);
      }),
      { numRuns: 4 },
    );
  });

  it('measures the sum as a look at it alone does, and steps as without', () => {
    const length = BLOCK_LENGTH + 517;
    const contributions = [coded(values(length, 1)), coded(values(length, 2), 'fp16', 0.5)];
    const step = (measured: boolean) => {
      const shard = createShard({ length, optimizer, segmentLength: 1200 });
      shard.beginStep({ learningRate: 0.05 });
      const { sumOfSquares } = shard.inspectSum(0, length, contributions);
      expect(shard.stepChunk(0, length, contributions, 1 / 7, measured)).toBe(measured ? sumOfSquares : 0);
      return snapshot(shard, optimizer);
    };
    expectSame(step(true), step(false));
  });

  it('on K unequal workers’ sums divided by all samples is one step on the mean', () => {
    const length = 1003;
    const samples = [40, 24, 16, 7];
    const total = samples.reduce((a, b) => a + b);
    const sums = samples.map((count, k) => values(length, k).map((value) => value * count));
    const mean = new Float64Array(length);
    for (const sum of sums) sum.forEach((value, i) => (mean[i] = mean[i]! + value / total));

    const shard = createShard({ length, optimizer });
    shard.writeParameters(values(length, 9));
    shard.beginStep({ learningRate: 0.1 });
    shard.stepChunk(
      0,
      length,
      sums.map((sum) => coded(sum)),
      1 / total,
    );

    const alone = values(length, 9);
    createOptimizer({ length, optimizer: optimizer === adamw8 ? adamw : optimizer }).step(alone, Float32Array.from(mean), {
      learningRate: 0.1,
    });
    expect(relativeDistance(parametersOf(shard), alone)).toBeLessThan(1e-5);
  });
});

/** Bit by bit. */
function expectSame(actual: readonly StateVector[], expected: readonly StateVector[]): void {
  expect(actual.length).toBe(expected.length);
  actual.forEach((vector, i) => expect(Buffer.compare(bytesOf(vector), bytesOf(expected[i]!))).toBe(0));
}

function bytesOf(vector: StateVector): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
}

function relativeDistance(a: Float32Array, b: Float32Array): number {
  const difference = new Float32Array(a.length);
  kernels.subtract(difference, a, b);
  return Math.sqrt(kernels.dot(difference, difference) / kernels.dot(b, b));
}

describe('a shard', () => {
  const length = BLOCK_LENGTH + 100;

  function trained(optimizer = adamw): ParameterShard {
    const shard = createShard({ length, optimizer, segmentLength: 10_000 });
    shard.writeParameters(values(length, 1));
    shard.beginStep({ learningRate: 0.1 });
    shard.stepChunk(0, length, [coded(values(length, 2))], 1);
    return shard;
  }

  it.each([adamw, adamw8])('goes on from a checkpoint with the same bits', (optimizer) => {
    const original = trained(optimizer);
    const restored = createShard({ length, optimizer });
    const [parameters, m, v] = snapshot(original, optimizer);
    restored.writeParameters(parameters as Float32Array);
    restored.writeState(0, m!);
    restored.writeState(1, v!);
    restored.setSteps(original.steps);
    for (const shard of [original, restored]) {
      shard.beginStep({ learningRate: 0.1 });
      shard.stepChunk(0, length, [coded(values(length, 3))], 0.5);
    }
    expect(restored.steps).toBe(2);
    expectSame(snapshot(restored, optimizer), snapshot(original, optimizer));
  });

  it('reads and writes any range', () => {
    const shard = createShard({ length: 100, optimizer: sgd, segmentLength: 33 });
    shard.writeParameters(Float32Array.of(1, 2, 3, 4), 31);
    const out = new Float32Array(6);
    shard.readParameters(out, 30);
    expect([...out]).toEqual([0, 1, 2, 3, 4, 0]);
  });

  it.each(['fp32', 'fp16', 'bf16'] as const)('codes a range of parameters as %s across memories', (name) => {
    const shard = trained();
    const expected = coded(parametersOf(shard).subarray(9_000, 11_003), name).bytes;
    const out = new Uint8Array(expected.length + 1);
    expect(shard.encodeParameters(9_000, 2_003, CODEC_IDS[name], out)).toBe(expected.length);
    expect(Buffer.compare(out.subarray(0, -1), expected)).toBe(0);
  });

  it('inspects a chunk by what it decodes to', () => {
    const shard = trained();
    const vector = values(length, 4);
    const inspection = shard.inspect(coded(vector), length);
    expect(inspection).toEqual(kernels.inspect(vector));
    const unaligned = Buffer.concat([Buffer.of(0), coded(vector).bytes]).subarray(1);
    expect(shard.inspect({ ...coded(vector), bytes: unaligned }, length)).toEqual(inspection);
    vector[BLOCK_LENGTH + 3] = 1e30;
    expect(shard.inspect(coded(vector), length).finite).toBe(true);
    expect(shard.inspect(coded(vector, 'fp16'), length).finite).toBe(false);
    vector[BLOCK_LENGTH + 3] = NaN;
    expect(shard.inspect(coded(vector), length).finite).toBe(false);
  });

  it('inspects a weighted sum without touching anything', () => {
    const shard = trained();
    const before = snapshot(shard, adamw);
    const sum = values(length, 5);
    kernels.scale(sum, 2);
    kernels.accumulate(sum, values(length, 6), 3);
    const contributions = [coded(values(length, 5), 'fp32', 2), coded(values(length, 6), 'fp32', 3)];
    const { finite, sumOfSquares } = shard.inspectSum(0, length, contributions);
    expect(finite).toBe(true);
    expect(sumOfSquares / kernels.dot(sum, sum)).toBeCloseTo(1, 12);
    expectSame(snapshot(shard, adamw), before);
  });

  it.each([adamw, adamw8, nesterov])('steps along a coded sum as along what it is the sum of, bit by bit', (optimizer) => {
    const length = BLOCK_LENGTH + 517;
    const [own, other] = [createShard({ length, optimizer }), createShard({ length, optimizer, segmentLength: 10_000 })];
    for (const step of [0, 1, 2]) {
      const contributions = (['fp32', 'bf16', 'int4'] as const).map((name, k) => coded(values(length, 3 * step + k), name, [1, 0.3, 2.5][k]));
      const bytes = new Uint8Array(4 * length);
      expect(own.encodeSum(0, length, contributions, bytes)).toBe(bytes.length);
      own.beginStep({ learningRate: 0.05 });
      own.stepChunk(0, length, contributions, 1 / 7);
      other.beginStep({ learningRate: 0.05 });
      other.stepChunk(0, length, [{ bytes, codecId: CODEC_IDS.fp32, weight: 1 }], 1 / 7);
    }
    expectSame(snapshot(other, optimizer), snapshot(own, optimizer));
  });

  it.each<[string, CodedChunk]>([
    ['too short', { bytes: new Uint8Array(8), codecId: CODEC_IDS.fp32, weight: 1 }],
    ['too long', { bytes: new Uint8Array(4 * length + 1), codecId: CODEC_IDS.fp32, weight: 1 }],
    ['of an unknown codec', { bytes: new Uint8Array(4 * length), codecId: 77, weight: 1 }],
  ])('refuses a contribution that is %s, and stays as it was', (_what, bad) => {
    const shard = trained();
    const before = snapshot(shard, adamw);
    const refused = expect.objectContaining({ code: 'protocol' });
    expect(() => shard.inspect(bad, length)).toThrow(refused);
    shard.beginStep({ learningRate: 0.1 });
    expect(() => shard.stepChunk(0, length, [coded(values(length, 1)), bad], 1)).toThrow(refused);
    expectSame(snapshot(shard, adamw), before);
  });

  it('refuses ranges that are not its own, steps not begun and state it does not have', () => {
    const shard = createShard({ length: 10, optimizer: sgd });
    expect(() => shard.stepChunk(0, 10, [], 1)).toThrow('before beginStep');
    expect(() => shard.readParameters(new Float32Array(3), 8)).toThrow('not within');
    expect(() => shard.readState(0, new Float32Array(1))).toThrow('0 state vectors');
    expect(() => createShard({ length: 10, optimizer: adamw8 }).readState(0, new Float32Array(10))).toThrow('kept in another format');
  });

  it('takes 6.03 bytes a parameter with moments in 8 bits, 12 with float32', () => {
    const large = 3_000_000;
    const working = 1_000_000;
    for (const [optimizer, bytesEach] of [
      [adamw, 12],
      [adamw8, 4 + (2 * 260) / 256],
    ] as const) {
      const [segment] = createSegments({ length: large, optimizer });
      const memory = segment!.parameters.buffer.byteLength;
      expect(memory).toBeGreaterThan(bytesEach * large);
      expect(memory).toBeLessThan(bytesEach * large + working);
      expect(segment!.state.reduce((sum, { kept }) => sum + kept.byteLength, 4 * large) / large).toBeCloseTo(bytesEach, 3);
    }
  });

  it.each([adamw, adamw8])('never moves what is frozen, not even by weight decay, and moves the rest as if it were alone', (optimizer) => {
    const length = BLOCK_LENGTH + 300;
    const frozen = [
      { offset: 0, length: 7 },
      { offset: BLOCK_LENGTH - 5, length: 11 },
    ];
    const isFrozen = (i: number) => frozen.some((span) => i >= span.offset && i < span.offset + span.length);
    const step = (shard: ParameterShard): Float32Array => {
      shard.writeParameters(values(length, 1));
      shard.beginStep({ learningRate: 0.1 });
      shard.stepChunk(0, length, [coded(values(length, 2))], 1);
      return parametersOf(shard);
    };
    const before = values(length, 1);
    const all = step(createShard({ length, optimizer }));
    const some = step(createShard({ length, optimizer, frozen, segmentLength: 900 }));
    expectSame([some], [all.map((value, i) => (isFrozen(i) ? before[i]! : value))]);
    expect(all[3]).not.toBe(before[3]);
  });

  it('may be empty', () => {
    const shard = createShard({ length: 0, optimizer: adamw });
    shard.beginStep({ learningRate: 1 });
    shard.stepChunk(0, 0, [coded(new Float32Array(0))], 1);
    expect(shard.inspect(coded(new Float32Array(0)), 0)).toEqual({ finite: true, sumOfSquares: 0 });
  });
});

describe('contributions in codecs with scales', () => {
  const length = 2 * BLOCK_LENGTH + 901;
  const names = ['int8', 'int4', 'int2', 'sign', 'top-k'] as const;

  it.each(names)('of %s are added as they decode, also where a memory ends within a block', (name) => {
    const parametersAfter = (options: { readonly segmentLength?: number; readonly implementation?: KernelsImplementation }) => {
      const shard = createShard({ length, optimizer: sgd, ...options });
      shard.beginStep({ learningRate: 1 });
      shard.stepChunk(100, length - 100, [coded(values(length - 100, 1), name), coded(values(length - 100, 2), 'fp32', 2)], 0.5);
      return parametersOf(shard);
    };
    const other = values(length - 100, 2);
    const expected = decoded(coded(values(length - 100, 1), name), length - 100).map((value, i) => {
      const sum = Math.fround(value + Math.fround(2 * other[i]!));
      return 0 - Math.fround(sum * 0.5);
    });
    const whole = parametersAfter({});
    expect(Buffer.compare(Buffer.from(whole.buffer, 400), Buffer.from(expected.buffer))).toBe(0);
    expectSame([parametersAfter({ segmentLength: 5000 })], [whole]);
    expectSame([parametersAfter({ implementation: 'reference' })], [whole]);
  });

  it.each(names)('of %s are looked at whole', (name) => {
    const shard = createShard({ length, optimizer: sgd });
    const chunk = coded(values(length, 1), name);
    const { finite, sumOfSquares } = shard.inspect(chunk, length);
    expect(finite).toBe(true);
    expect(sumOfSquares).toBeCloseTo(decoded(chunk, length).reduce((sum, value) => sum + value * value, 0), 3);
    expect(() => shard.inspect({ ...chunk, bytes: chunk.bytes.subarray(1) }, length)).toThrow(expect.objectContaining({ code: 'protocol' }));
  });
});

describe('followers by differences', () => {
  const length = BLOCK_LENGTH + 5000;
  const cuts = [
    [0, 9000],
    [9000, length],
  ] as const;

  it.each([[['int8']], [['sign']], [['top-k']], [['int4', 'top-k', 'int8']]] as const)('in %j hold the view, bit by bit, which goes where the parameters are', (names) => {
    const shard = createShard({ length, optimizer: sgd, differences: DEFAULT_TOP_K, segmentLength: 7000 });
    shard.writeParameters(values(length, 1));
    shard.resetView();
    const follower = values(length, 1);
    const differences = names.map((name) => createCodec(name, kernels));
    const out = new Uint8Array(4 * length);
    const view = new Uint8Array(4 * length);
    const distances: number[] = [];
    for (let step = 0; step < 40; step++) {
      const difference = differences[step % names.length]!;
      if (step < 2) {
        shard.beginStep({ learningRate: 0.1 });
        for (const [from, to] of cuts) shard.stepChunk(from, to - from, [coded(values(length, step + 5).subarray(from, to))], 1);
      }
      for (const [from, to] of cuts) {
        const written = shard.encodeDifference(from, to - from, difference.name, out);
        difference.decodeAccumulate(out.subarray(0, written), follower.subarray(from, to), 1);
      }
      shard.encodeView(0, length, CODEC_IDS.fp32, view);
      expect(Buffer.compare(view, Buffer.from(follower.buffer))).toBe(0);
      distances.push(relativeDistance(follower, parametersOf(shard)));
    }
    expect(distances[39]!).toBeLessThan(distances[1]! / 2);
  });

  it('begin anew from the parameters', () => {
    const shard = createShard({ length: 3, optimizer: sgd, differences: DEFAULT_TOP_K });
    shard.writeParameters(Float32Array.of(1, 2, 3));
    shard.resetView();
    const view = new Float32Array(3);
    shard.encodeView(0, 3, CODEC_IDS.fp32, new Uint8Array(view.buffer));
    expect([...view]).toEqual([1, 2, 3]);
  });
});

function decoded({ bytes, codecId }: CodedChunk, length: number): Float32Array {
  const name = (Object.keys(CODEC_IDS) as (keyof typeof CODEC_IDS)[]).find((candidate) => CODEC_IDS[candidate] === codecId)!;
  const out = new Float32Array(length);
  createCodec(name, kernels).decode(bytes, out);
  return out;
}

it('has a checksum of its parameters, whatever chunks it is taken by', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 100 }), fc.array(fc.nat(300)), (length, segmentLength, cuts) => {
      const shard = createShard({ length, optimizer: sgd, segmentLength });
      const parameters = values(length, 5);
      shard.writeParameters(parameters);
      const borders = [0, ...cuts.filter((cut) => cut < length).sort((a, b) => a - b), length];
      let checksum: number | undefined;
      for (const [i, from] of borders.slice(0, -1).entries()) checksum = shard.checksum(from, borders[i + 1]! - from, checksum);
      expect(checksum).toBe(kernels.crc32c(new Uint8Array(parameters.buffer)));
    }),
  );
});
