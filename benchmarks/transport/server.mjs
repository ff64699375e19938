// The parameter server of round.mjs: one commit pass, chunk by chunk. A chunk is reduced, stepped and sent down as soon as every
// worker's contribution to it has come.
import { createKernels, createShard } from '@longtail/kernels';
import { PROTOCOL_VERSION } from '@longtail/protocol';
import { listen } from '@longtail/transport';
import { header, readOptions, report } from './process.mjs';

const { workers, length, chunkLength, rounds, host, sameHost } = readOptions();
const chunks = Math.ceil(length / chunkLength);
const { crc32c } = createKernels();
const shard = createShard({ length, optimizer: { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 } });
const down = new Uint8Array(length * 4);
const stop = new AbortController();
const connections = [];
let round = 0;
let startedAt = 0;
let done = 0;
let contributions = [];
let releases = [];
// A worker's next chunk is asked for when its last one was reduced, so it needs memory for one.
const staged = Array.from({ length: workers }, () => new Uint8Array(chunkLength * 4));

const refuseClients = async () => {
  throw new Error('this server only benchmarks');
};
const listener = await listen({
  host,
  port: 0,
  crc32c: (bytes) => crc32c(bytes),
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
      if (message.message === 'taskDone' && ++done === workers) endRound();
    },
    place: (_header, bytes) => staged[rank].subarray(0, bytes),
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
  shard.beginStep({ learningRate: 1 });
  startedAt = performance.now();
  for (const connection of connections) connection.send({ message: 'release', release: { run: 'bench', reason: '' } });
}

function endRound() {
  report({ ms: performance.now() - startedAt });
  if (++round < rounds) startRound();
  else void listener.close('done');
}

/** Resolves when the chunk is reduced: until then its worker may not send more than its window. */
function contribute(rank, chunk, bytes) {
  const of = contributions[chunk];
  of[rank] = { bytes, codecId: 0, weight: 1 };
  if (of.filter(Boolean).length < workers) return new Promise((resolve) => releases[chunk].push(resolve));
  const offset = chunk * chunkLength;
  const values = Math.min(chunkLength, length - offset);
  shard.stepChunk(offset, values, of, 1 / workers);
  const coded = down.subarray(offset * 4, (offset + values) * 4);
  shard.encodeParameters(offset, values, 0, coded);
  contributions[chunk] = [];
  // A tensor a chunk: a later chunk of one tensor could not wait for its reduction.
  const tensor = { header: header('parameters', chunk), length: values, chunkLength, chunk: () => coded };
  for (const connection of connections) void connection.sendTensor(tensor, stop.signal).catch(() => undefined);
  for (const release of releases[chunk]) release();
}
