// Throughput of the kernels on one core beside a memory copy and the plain-TypeScript twins, all in one run.
//   npm run build && node benchmarks/kernels/kernels.mjs [--server]
// GB/s counts the bytes of one float32 operand a value, however many operands there are; medians of rounds in which every contender has its turn.
import { parseArgs } from 'node:util';
import { createKernels, createOptimizer, createShard, createCodec, createErrorFeedback, CODEC_IDS } from '../../libs/kernels/dist/index.js';

const { values: options } = parseArgs({ options: { server: { type: 'boolean', default: false } } });

const LENGTH = 25_000_000;
const CHUNK = 262_144;
/** Times that a kernel goes over a chunk, as the server's does while the chunk is in cache: over long vectors it is memory that is measured. */
const MANY = 20;
/** Twins of codecs are slow: they get less. */
const TWIN_CHUNK = 16_384;
const RUNS = 5;

const adamw = { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, decoupled: true };
const sgd = { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 };

function once(run) {
  const start = process.hrtime.bigint();
  run();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

function median(times) {
  return times.toSorted((a, b) => a - b)[times.length >> 1];
}

function milliseconds(run) {
  run();
  return median(Array.from({ length: RUNS }, () => once(run)));
}

/** Of Gaussian values, as gradients are nearly; repeats every 65,536. */
function values(length) {
  const period = Float32Array.from({ length: 65_536 }, (_, i) => {
    const [u, v] = [(((i * 40_503) % 65_536) + 0.5) / 65_536, (i * 0.618_033_988_75) % 1];
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  });
  const out = new Float32Array(length);
  for (let at = 0; at < length; at += period.length) out.set(period.subarray(0, length - at), at);
  return out;
}

const coefficients = { gradientScale: 0.1, learningRate: 1e-6, weightDecay: 0.01, momentum: 0.9, direct: 1, carried: 0.9 };
const adamCoefficients = { gradientScale: 0.1, l2: 0, keep: 1, oneMinusBeta1: 0.1, beta2: 0.999, oneMinusBeta2: 0.001, stepSize: 1e-6, rootScale: 1, epsilon: 1e-8 };

/** name → (kernels, four resident vectors) → work over all of them */
const vectorCases = {
  'sum into an accumulator': (k, [a, b]) => k.accumulate(a, b, 1),
  subtract: (k, [a, b, c]) => k.subtract(a, b, c),
  'dot (norm)': (k, [a, b]) => k.dot(a, b),
  'SGD step': (k, [p, g]) => k.sgd(p, g, coefficients),
  'SGD with momentum': (k, [p, g, b]) => k.sgdMomentum(p, g, b, coefficients),
  'Adam step': (k, [p, g, m, v]) => k.adam(p, g, m, v, adamCoefficients),
};

const onePercent = { density: 0.01, values: 'fp16', selection: 'exact' };
const codecs = {
  fp16: ['fp16'],
  bf16: ['bf16'],
  int8: ['int8'],
  int4: ['int4'],
  int2: ['int2'],
  sign: ['sign'],
  'top 1 %, exact, fp16': ['top-k', onePercent],
  'top 1 %, sampled, fp16': ['top-k', { ...onePercent, selection: 'sampled' }],
  'top 64 of 4096, int2': ['top-k', undefined],
};

/** Rounds in which each contender has its turn. */
function race(contenders) {
  const times = new Map(Object.keys(contenders).map((name) => [name, []]));
  for (const run of Object.values(contenders)) run();
  for (let round = 0; round < RUNS; round++) for (const [name, run] of Object.entries(contenders)) times.get(name).push(once(run));
  return Object.fromEntries([...times].map(([name, list]) => [name, median(list)]));
}

const gigabytes = (length, ms) => (length * 4) / ms / 1e6;
const cell = (value, digits = 1) => value.toFixed(digits).padStart(9);

function vectors() {
  const setUp = (implementation, length) => {
    const kernels = createKernels({ vectors: [length, length, length, length], implementation });
    const resident = [0, 1, 2, 3].map((i) => {
      const vector = kernels.allocate(length);
      vector.set(i === 3 ? new Float32Array(length).fill(0.5) : values(length));
      return vector;
    });
    return [kernels, resident];
  };
  const [wasm, chunk, twin] = [setUp('wasm', LENGTH), setUp('wasm', CHUNK), setUp('reference', CHUNK)];
  const [source, target] = [values(LENGTH), new Float32Array(LENGTH)];
  console.log(`vectors, GB/s${' '.repeat(17)}1 MB     twin  × twin   100 MB  of a memory copy beside it`);
  for (const [name, run] of Object.entries(vectorCases)) {
    const many = (contender) => () => {
      for (let i = 0; i < MANY; i++) run(...contender);
    };
    const ms = race({ copy: () => target.set(source), wasm: () => run(...wasm), chunk: many(chunk), twin: many(twin) });
    const [copy, long] = [ms.copy, ms.wasm].map((time) => gigabytes(LENGTH, time));
    const [fast, slow] = [ms.chunk, ms.twin].map((time) => gigabytes(MANY * CHUNK, time));
    console.log(`${name.padEnd(28)}${cell(fast)}${cell(slow, 2)}${cell(fast / slow)}${cell(long)}  ${((100 * long) / copy).toFixed(0)} % of ${copy.toFixed(1)}`);
  }
}

function coding() {
  const [wasm, reference] = [createKernels(), createKernels({ implementation: 'reference' })];
  const chunk = values(CHUNK);
  const out = new Float32Array(CHUNK);
  const twinChunk = chunk.subarray(0, TWIN_CHUNK);
  const twinOut = out.subarray(0, TWIN_CHUNK);
  console.log(`\nchunks of 1 MB outside kernel memory, GB/s of float32`);
  console.log(`${' '.repeat(24)}encode  decode  and add  feedback   bytes a value   error, part of norm   encode + decode × twin`);
  for (const [name, [codecName, topK]] of Object.entries(codecs)) {
    const codec = createCodec(codecName, wasm, topK);
    const twin = createCodec(codecName, reference, topK);
    const feedback = createErrorFeedback({ length: CHUNK, topK });
    const room = new Uint8Array(codec.maxBytes(CHUNK));
    const coded = room.slice(0, codec.encode(chunk, room));
    const twinCoded = room.slice(0, twin.encode(twinChunk, room));
    codec.decode(coded, out);
    const lost = out.map((value, i) => value - chunk[i]);
    const error = Math.sqrt(wasm.dot(lost, lost) / wasm.dot(chunk, chunk));
    const many = (run) => () => {
      for (let i = 0; i < 8; i++) run();
    };
    const ms = race({
      encode: many(() => codec.encode(chunk, room)),
      decode: many(() => codec.decode(coded, out)),
      add: many(() => codec.decodeAccumulate(coded, out, 1)),
      feedback: many(() => {
        feedback.encode(codecName, chunk, 0, room);
        feedback.settle(true);
      }),
      twin: () => {
        twin.encode(twinChunk, room);
        twin.decode(twinCoded, twinOut);
      },
    });
    const rate = (time) => gigabytes(8 * CHUNK, time);
    const ratio = (ms.twin / TWIN_CHUNK) * CHUNK / ((ms.encode + ms.decode) / 8);
    console.log(
      `${name.padEnd(22)}${cell(rate(ms.encode))}${cell(rate(ms.decode))}${cell(rate(ms.add))}${cell(rate(ms.feedback))}${cell(coded.length / CHUNK, 4)}${cell(error, 4).padStart(20)}${cell(ratio).padStart(22)}`,
    );
  }
}

function server() {
  console.log('\nparameter server, 100 MB of float32 from each of K workers, ms');
  const payload = new Uint8Array(values(LENGTH).buffer);
  const out = new Uint8Array(CHUNK * 4);
  for (const [name, optimizer] of Object.entries({ sgd, adamw, 'adamw, 8 bits': { ...adamw, stateBits: 8 } })) {
    for (const workers of [1, 4]) {
      const shard = createShard({ length: LENGTH, optimizer });
      const chunksOf = (from, length) =>
        Array.from({ length: workers }, () => ({ bytes: payload.subarray(from * 4, (from + length) * 4), codecId: CODEC_IDS.fp32, weight: 1 }));
      const overChunks = (visit) => {
        for (let from = 0; from < LENGTH; from += CHUNK) visit(from, Math.min(CHUNK, LENGTH - from));
      };
      const step = milliseconds(() => {
        shard.beginStep({ learningRate: 1e-6 });
        overChunks((from, length) => shard.stepChunk(from, length, chunksOf(from, length), 1 / workers));
      });
      const encode = milliseconds(() => overChunks((from, length) => shard.encodeParameters(from, length, CODEC_IDS.fp32, out)));
      console.log(`${name}, K = ${workers}: reduce and step ${step.toFixed(0)}, encode ${encode.toFixed(0)}`);
    }
  }
  const optimizer = createOptimizer({ length: LENGTH, optimizer: adamw });
  const [parameters, gradient] = [values(LENGTH), values(LENGTH)];
  const local = milliseconds(() => optimizer.step(parameters, gradient, { learningRate: 1e-6 }));
  console.log(`a worker's own step of adamw, vectors outside kernel memory: ${local.toFixed(0)}`);
}

if (options.server) {
  server();
} else {
  vectors();
  coding();
}
