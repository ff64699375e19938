// A worker of round.mjs: sends its gradient when told to, takes the parameters, and checks them after the last round.
import { createCodec, createKernels } from '@longtail/kernels';
import { visitorsHello } from '@longtail/runtime';
import { createTensorMemory, dial, EmulatedLink } from '@longtail/transport';
import { cpuMsPerRound, header, readOptions, report, roundEnded } from './process.mjs';

const { address, rank, workers, length, chunkLength, rounds, sameHost, throttle } = readOptions();
const kernels = createKernels();
const codec = createCodec('fp32', kernels);
const memory = createTensorMemory();
// As in a session: the engine's thread shares the vectors, what is sent is coded from them, what comes is decoded into them.
const gradient = new Float32Array(new SharedArrayBuffer(length * 4));
for (let index = 0; index < length; index++) gradient[index] = ((index + rank) % 251) / 256;
const coded = memory.allocate(length * 4);
const parameters = new Float32Array(new SharedArrayBuffer(length * 4));
const stop = new AbortController();
let round = 0;
let bytesMissing = length * 4;
let sent = false;
let startedAt = 0;

const { connection } = await dial(address, {
  hello: visitorsHello(`worker-${rank}`, String(process.pid)),
  crc32c: (bytes) => kernels.crc32c(bytes),
  memory: sameHost ? memory : undefined,
  link: throttle && new EmulatedLink(throttle),
  signal: stop.signal,
});
connection.start({
  message: () => void push(),
  place: () => 'borrow',
  tensor: ({ header: { fragment, length: values }, payload }) => {
    codec.decode(payload, parameters.subarray(fragment * chunkLength, fragment * chunkLength + values));
    bytesMissing -= payload.length;
    finishRound();
  },
  closed: (reason) => {
    if (round < rounds) throw new Error(`the server left: ${reason}`);
    process.exit();
  },
});
connection.send({ message: 'ready', ready: { run: 'bench', layoutJson: '', samplesPerSecond: 0, memoryBytes: 0, trainSamples: 0, validationSamples: 0 } });

async function push() {
  startedAt = performance.now();
  const chunk = (offset, values) => {
    const bytes = coded.subarray(offset * 4, (offset + values) * 4);
    codec.encode(gradient.subarray(offset, offset + values), bytes);
    return bytes;
  };
  await connection.sendTensor({ header: header('gradient', 0), length, chunkLength, chunk }, stop.signal);
  sent = true;
  finishRound();
}

function finishRound() {
  if (!sent || bytesMissing > 0) return;
  sent = false;
  bytesMissing = length * 4;
  roundEnded(++round);
  if (round === rounds) report({ cpuMs: cpuMsPerRound(rounds), correct: isSumOfGradients() });
  connection.send({
    message: 'taskDone',
    taskDone: { run: 'bench', task: round, samples: 1, targets: 0, lossSum: 0, correct: 0, computeMs: performance.now() - startedAt, steps: 0 },
  });
}

/** Each round subtracts the mean gradient once. */
function isSumOfGradients() {
  for (let index = 0; index < length; index += 997) {
    let sum = 0;
    for (let from = 0; from < workers; from++) sum += ((index + from) % 251) / 256;
    if (Math.abs(parameters[index] + (rounds * sum) / workers) > 1e-4 * rounds) return false;
  }
  return true;
}
