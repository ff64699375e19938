// The parameter server of round.mjs: one commit pass, chunk by chunk. A chunk is reduced, stepped and sent down as soon as every
// worker's contribution to it has come.
import { createKernels, createShard } from '@longtail/kernels';
import { PROTOCOL_VERSION } from '@longtail/protocol';
import { createTensorMemory, EmulatedLink, listen } from '@longtail/transport';
import { cpuMsPerRound, header, readOptions, report, roundEnded } from './process.mjs';

const { workers, length, chunkLength, rounds, host, sameHost, gapMs = 0, serverThrottle } = readOptions();
const chunks = Math.ceil(length / chunkLength);
const kernels = createKernels();
const shard = createShard({ length, optimizer: { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 } });
const memory = createTensorMemory();
// Of one version; the next one is made when every worker has it.
const coded = memory.allocate(length * 4);
const stop = new AbortController();
const link = serverThrottle && new EmulatedLink(serverThrottle);
const connections = [];
let round = 0;
let slowestMs = 0;
let done = 0;
/** Of each chunk, what workers sent; it lies with them until they are released. */
let contributions = [];
let releases = [];
const refuseClients = async () => {
  throw new Error('this server only benchmarks');
};
const listener = await listen({
  host,
  port: 0,
  crc32c: (bytes) => kernels.crc32c(bytes),
  memory: sameHost ? memory : undefined,
  link,
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
    place: () => 'borrow',
    tensor: ({ header: { chunk }, payload }) => contribute(rank, chunk, payload),
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
  contributions = Array.from({ length: chunks }, () => []);
  releases = Array.from({ length: chunks }, () => []);
  slowestMs = 0;
  shard.beginStep({ learningRate: 1 });
  for (const connection of connections) connection.send({ message: 'release', release: { run: 'bench', reason: '' } });
}

/** A round lasts as long as the slowest worker's part of it, from the first byte it sends to the last one it takes; gloo.py measures alike. */
function finish(workerMs) {
  slowestMs = Math.max(slowestMs, workerMs);
  if (++done < workers) return;
  report({ ms: slowestMs });
  roundEnded(++round);
  if (round < rounds) setTimeout(startRound, gapMs);
  else {
    report({ cpuMs: cpuMsPerRound(rounds) });
    void listener.close('done').then(() => link?.close());
  }
}

/** Resolves when the chunk is reduced: until then its worker may not send more than its window. */
function contribute(rank, chunk, bytes) {
  const coming = contributions[chunk];
  coming[rank] = { bytes, codecId: 0, weight: 1 };
  if (coming.filter(Boolean).length < workers) return new Promise((resolve) => releases[chunk].push(resolve));
  const offset = chunk * chunkLength;
  const values = Math.min(chunkLength, length - offset);
  const out = coded.subarray(offset * 4, (offset + values) * 4);
  shard.stepChunk(offset, values, coming, 1 / workers);
  shard.encodeParameters(offset, values, 0, out);
  // A tensor a chunk: a later chunk of one tensor could not wait for its reduction.
  const tensor = { header: header('parameters', chunk), length: values, chunkLength, chunk: () => out };
  for (const connection of connections) void connection.sendTensor(tensor, stop.signal).catch(() => undefined);
  for (const release of releases[chunk]) release();
  // Borrowed no longer. The array is as old as the round: what it still held would live until a collection of the whole heap.
  coming.length = 0;
  contributions[chunk] = undefined;
}
