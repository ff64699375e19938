// Throughput of every kernel over 100 MB of float32 beside a memory copy and the plain-TypeScript twin.
// Run: npx tsc --build libs/kernels && node libs/kernels/bench/kernels.bench.mjs
// GB/s counts the bytes of one float32 operand a value, however many operands there are; medians.
import { createKernels, createOptimizer, createShard, createCodec, CODEC_IDS } from '../dist/index.js';

const LENGTH = 25_000_000;
/** The twin is slow: it gets a tenth. */
const TWIN_LENGTH = LENGTH / 10;
const RUNS = 7;

const adamw = { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, decoupled: true };
const adamw8 = { ...adamw, stateBits: 8 };
const sgd = { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 };

function milliseconds(run) {
  run();
  const times = Array.from({ length: RUNS }, () => {
    const start = process.hrtime.bigint();
    run();
    return Number(process.hrtime.bigint() - start) / 1e6;
  });
  return times.sort((a, b) => a - b)[RUNS >> 1];
}

function values(length) {
  return Float32Array.from({ length }, (_, i) => Math.sin(i));
}

const coefficients = {
  gradientScale: 0.1,
  learningRate: 1e-6,
  weightDecay: 0.01,
  momentum: 0.9,
  direct: 1,
  carried: 0.9,
  l2: 0,
  keep: 1,
  oneMinusBeta1: 0.1,
  beta2: 0.999,
  oneMinusBeta2: 0.001,
  stepSize: 1e-6,
  rootScale: 1,
  epsilon: 1e-8,
};

const ROW = 512;
const bytesOfRows = (length) => length + 4 * Math.ceil(length / ROW);

/** name → (kernels, resident vectors, foreign vector, foreign bytes) → work */
const cases = {
  'accumulate, resident': (k, [a, b]) => k.accumulate(a, b, 1),
  'accumulate, from outside': (k, [a], x) => k.accumulate(a, x, 1),
  subtract: (k, [a, b, c]) => k.subtract(a, b, c),
  scale: (k, [a]) => k.scale(a, 1),
  dot: (k, [a, b]) => k.dot(a, b),
  'inspect, resident': (k, [a]) => k.inspect(a),
  'inspect, from outside': (k, _, x) => k.inspect(x),
  sgd: (k, [p, g]) => k.sgd(p, g, coefficients),
  'sgd momentum': (k, [p, g, b]) => k.sgdMomentum(p, g, b, coefficients),
  adam: (k, [p, g, m, v]) => k.adam(p, g, m, v, coefficients),
  'fp32 → fp16': (k, [a], _, bytes) => k.encode('fp16', a, bytes.subarray(0, a.length * 2)),
  'fp16 → fp32': (k, [a], _, bytes) => k.decode('fp16', bytes.subarray(0, a.length * 2), a),
  'fp16 accumulate': (k, [a], _, bytes) => k.decodeAccumulate('fp16', bytes.subarray(0, a.length * 2), a, 1),
  'fp32 → bf16': (k, [a], _, bytes) => k.encode('bf16', a, bytes.subarray(0, a.length * 2)),
  'bf16 → fp32': (k, [a], _, bytes) => k.decode('bf16', bytes.subarray(0, a.length * 2), a),
  'fp32 → int8, rows of 512': (k, [a], _, bytes) => k.encodeRows(a, bytes.subarray(0, bytesOfRows(a.length)), ROW),
  'int8 → fp32, rows of 512': (k, [a], _, bytes) => k.decodeRows(bytes.subarray(0, bytesOfRows(a.length)), a, ROW),
  crc32c: (k, _, __, bytes) => k.crc32c(bytes),
};

function throughputs(implementation, length) {
  const kernels = createKernels({ vectors: [length, length, length, length], implementation });
  const resident = [0, 1, 2, 3].map(() => kernels.allocate(length));
  const foreign = values(length);
  const bytes = new Uint8Array(foreign.slice().buffer);
  return Object.entries(cases).map(([name, run]) => {
    resident.forEach((vector, i) => (i === 3 ? vector.fill(0.5) : vector.set(foreign)));
    return [name, (length * 4) / milliseconds(() => run(kernels, resident, foreign, bytes)) / 1e6];
  });
}

const source = values(LENGTH);
const target = new Float32Array(LENGTH);
const copy = (LENGTH * 4) / milliseconds(() => target.set(source)) / 1e6;
console.log(`memory copy ${copy.toFixed(1)} GB/s\n`);
console.log(`${'GB/s'.padEnd(28)}${'WASM SIMD'.padStart(10)}${'TypeScript'.padStart(12)}`);
const twin = new Map(throughputs('reference', TWIN_LENGTH));
for (const [name, gigabytes] of throughputs('wasm', LENGTH)) {
  console.log(`${name.padEnd(28)}${gigabytes.toFixed(1).padStart(10)}${twin.get(name).toFixed(2).padStart(12)}`);
}

console.log('\nparameter server, 100 MB of float32 from each of K workers, ms');
const CHUNK = 262_144;
const kernels = createKernels();
for (const [name, optimizer] of Object.entries({ sgd, adamw, 'adamw, 8 bits': adamw8 })) {
  for (const workers of [1, 4]) {
    const shard = createShard({ length: LENGTH, optimizer });
    const payloads = Array.from({ length: workers }, () => new Uint8Array(values(LENGTH).buffer));
    const out = new Uint8Array(CHUNK * 4);
    const chunksOf = (from, length) =>
      payloads.map((payload) => ({
        bytes: payload.subarray(from * 4, (from + length) * 4),
        codecId: CODEC_IDS.fp32,
        weight: 1,
      }));
    const overChunks = (visit) => {
      for (let from = 0; from < LENGTH; from += CHUNK) visit(from, Math.min(CHUNK, LENGTH - from));
    };
    const inspect = milliseconds(() =>
      overChunks((from, length) => chunksOf(from, length).forEach((chunk) => shard.inspect(chunk, length))),
    );
    const checksum = milliseconds(() => overChunks((from, length) => chunksOf(from, length).forEach(({ bytes }) => kernels.crc32c(bytes))));
    const step = milliseconds(() => {
      shard.beginStep({ learningRate: 1e-6 });
      overChunks((from, length) => shard.stepChunk(from, length, chunksOf(from, length), 1 / workers));
    });
    const encode = milliseconds(() => overChunks((from, length) => shard.encodeParameters(from, length, CODEC_IDS.fp32, out)));
    const parts = { inspect, crc32c: checksum, 'reduce and step': step, encode };
    console.log(
      `${name}, K = ${workers}: `.padEnd(24) +
        Object.entries(parts)
          .map(([part, ms]) => `${part} ${ms.toFixed(0)}`)
          .join(', '),
    );
  }
}

console.log('\nworker, local AdamW step over 100 MB of parameters outside kernel memory, ms');
const optimizer = createOptimizer({ length: LENGTH, optimizer: adamw });
const gradient = values(LENGTH);
console.log(milliseconds(() => optimizer.step(target, gradient, { learningRate: 1e-6 })).toFixed(0));

console.log('\ncodecs of activations, 1 MB chunks outside kernel memory, rows of 512, GB/s of float32');
const chunk = source.subarray(0, CHUNK);
const perPass = (run) =>
  (CHUNK * 4 * 20) /
  milliseconds(() => {
    for (let i = 0; i < 20; i++) run();
  }) /
  1e6;
for (const name of ['fp16', 'bf16', 'int8']) {
  const codec = createCodec(name, kernels);
  const coded = new Uint8Array(codec.maxBytes(CHUNK, ROW));
  const encode = perPass(() => codec.encode(chunk, coded, ROW));
  const decode = perPass(() => codec.decode(coded, chunk, ROW));
  console.log(`${name}: encode ${encode.toFixed(1)}, decode ${decode.toFixed(1)}`);
}
