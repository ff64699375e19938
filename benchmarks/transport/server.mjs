// The parameter server of round.mjs: one commit pass, chunk by chunk. A chunk is reduced, stepped and sent down as soon as every
// worker's contribution to it has come.
import { createKernels } from '@longtail/kernels';
import { PROTOCOL_VERSION } from '@longtail/protocol';
import { listen } from '@longtail/transport';
import { cpuMsPerRound, header, readOptions, report, roundEnded } from './process.mjs';

const { workers, length, chunkLength, rounds, host, sameHost } = readOptions();
const chunks = Math.ceil(length / chunkLength);
// Contributions land in the kernels' memory and parameters leave from it: nothing is copied between.
const kernels = createKernels({ vectors: [length, ...new Array(workers).fill(chunkLength)] });
const parameters = kernels.allocate(length);
// A worker's next chunk is asked for when its last one was reduced, so it needs memory for one.
const staged = Array.from({ length: workers }, () => kernels.allocate(chunkLength));
const stop = new AbortController();
const connections = [];
let round = 0;
let slowestMs = 0;
let done = 0;
let arrived = [];
let releases = [];
const refuseClients = async () => {
  throw new Error('this server only benchmarks');
};
const listener = await listen({
  host,
  port: 0,
  crc32c: (bytes) => kernels.crc32c(bytes),
  sameHost,
  control: { launch: refuseClients, cancel: refuseClients, listJobs: refuseClients, listNodes: refuseClients, getServer: refuseClients, watch: refuseClients },
  signal: stop.signal,
  onSession: welcome,
});
report({ address: listener.address });

function welcome(connection) {
  const rank = connections.push(connection) - 1;
  connection.start({
    message: (message) => {
      if (message.message === 'ready' && ++done === workers) startRound();
      if (message.message === 'taskDone') finish(message.taskDone.computeMs);
    },
    place: (_header, bytes) => bytesOf(staged[rank], 0, bytes / 4),
    tensor: ({ header: { chunk } }) => contribute(chunk),
    closed: (reason) => {
      if (round < rounds) throw new Error(`a worker left: ${reason}`);
    },
  });
  connection.send({
    message: 'welcome',
    welcome: { node: `n${rank}`, heartbeatMs: 1_000, protocol: PROTOCOL_VERSION, tensorPort: 0, tensorKey: '' },
  });
}

function startRound() {
  done = 0;
  arrived = new Array(chunks).fill(0);
  releases = Array.from({ length: chunks }, () => []);
  slowestMs = 0;
  for (const connection of connections) connection.send({ message: 'release', release: { run: 'bench', reason: '' } });
}

/** A round lasts as long as the slowest worker's part of it, from the first byte it sends to the last one it takes; gloo.py measures alike. */
function finish(workerMs) {
  slowestMs = Math.max(slowestMs, workerMs);
  if (++done < workers) return;
  report({ ms: slowestMs });
  roundEnded(++round);
  if (round < rounds) startRound();
  else {
    report({ cpuMs: cpuMsPerRound(rounds) });
    void listener.close('done');
  }
}

/** Resolves when the chunk is reduced: until then its worker may not send more than its window. */
function contribute(chunk) {
  if (++arrived[chunk] < workers) return new Promise((resolve) => releases[chunk].push(resolve));
  const offset = chunk * chunkLength;
  const values = Math.min(chunkLength, length - offset);
  const inputs = staged.map((vector) => vector.subarray(0, values));
  kernels.sumInto(inputs[0], inputs);
  kernels.sgd(parameters.subarray(offset, offset + values), inputs[0], { gradientScale: 1 / workers, learningRate: 1, weightDecay: 0 });
  // A tensor a chunk: a later chunk of one tensor could not wait for its reduction.
  const tensor = { header: header('parameters', chunk), length: values, chunkLength, chunk: () => bytesOf(parameters, offset, values) };
  for (const connection of connections) void connection.sendTensor(tensor, stop.signal).catch(() => undefined);
  for (const release of releases[chunk]) release();
}

function bytesOf(vector, offset, values) {
  return new Uint8Array(vector.buffer, vector.byteOffset + offset * 4, values * 4);
}
