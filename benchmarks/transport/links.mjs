// A round over home links: four workers at 50 Mbit/s and 41 ms, the server at 200 Mbit/s, in network namespaces (tools/netlab), against
// gloo's all-reduce on links of the same rate and round trip, against plain TCP that carries the same bytes over the same links, and against
// the workers' links emulated by the transport (`--link`). All but the last need root:
//   node benchmarks/transport/links.mjs [--mb 10] [--workers 4] [--worker-mbit 50] [--server-mbit 200] [--rtt-ms 41] [--loss 0.001] [--congestion bbr] [--rounds 15] [--warm-up 4] [--gap-s 10] [--only longtail,tcp,emulated,gloo]
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { withLinks } from './netlab.mjs';
import { start } from './start.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const { values: flags } = parseArgs({
  options: {
    mb: { type: 'string', default: '10' },
    workers: { type: 'string', default: '4' },
    'worker-mbit': { type: 'string', default: '50' },
    'server-mbit': { type: 'string', default: '200' },
    'rtt-ms': { type: 'string', default: '41' },
    'warm-up': { type: 'string', default: '4' },
    rounds: { type: 'string', default: '15' },
    'gap-s': { type: 'string', default: '0' },
    loss: { type: 'string', default: '0' },
    congestion: { type: 'string', default: 'cubic' },
    only: { type: 'string', default: 'longtail,gloo' },
  },
});
const workers = Number(flags.workers);
const workerMbit = Number(flags['worker-mbit']);
const serverMbit = Number(flags['server-mbit']);
const roundTripMs = Number(flags['rtt-ms']);
const rounds = Number(flags.rounds);
const length = Number(flags.mb) * 250_000;
const gapMs = 1000 * Number(flags['gap-s']);
/** Ethernet, IP and TCP headers: 1514 bytes carry 1448. No limit has acknowledgements or latency in it, nor that an answer follows the last byte. */
const HEADER_FACTOR = 1514 / 1448;
/** The first rounds open TCP's windows. */
const warmUpRounds = Number(flags['warm-up']);

const megabits = (length * 4 * 8 * HEADER_FACTOR) / 1e6;
const limit = megabits * Math.max(1 / workerMbit, workers / serverMbit);
const limits = {
  longtail: limit,
  tcp: limit,
  emulated: limit,
  gloo: (megabits * 2 * (workers - 1)) / workers / workerMbit,
};
const contenders = { longtail, tcp, emulated, gloo };
const seconds = {};
for (const name of flags.only.split(',')) {
  const stolenBefore = stolenMs();
  const all = await contenders[name]();
  if (all === undefined) continue;
  const stolen = stolenMs() - stolenBefore;
  const steady = all.slice(warmUpRounds).sort((a, b) => a - b);
  seconds[name] = steady[Math.floor(steady.length / 2)] / 1000;
  const over = (seconds[name] / limits[name]).toFixed(3);
  console.log(`${name.padEnd(9)} ${seconds[name].toFixed(3)} s (${steady.map((ms) => (ms / 1000).toFixed(2)).join(' ')}), ${over} × its limit of ${limits[name].toFixed(2)} s; the host took ${stolen} ms of a core`);
}
if (seconds.longtail && seconds.emulated) console.log(`emulated / shaped by the kernel: ${(seconds.emulated / seconds.longtail).toFixed(3)}`);
if (seconds.longtail && seconds.tcp) console.log(`longtail / plain TCP: ${(seconds.longtail / seconds.tcp).toFixed(3)}`);
if (seconds.longtail && seconds.gloo) console.log(`longtail / gloo: ${(seconds.longtail / seconds.gloo).toFixed(2)}`);

/** The server hangs on the switch itself, so the workers' links have the whole round trip. */
async function longtail() {
  return withServerLinks((inside) => exchange({ host: ip(0) }, inside));
}

async function tcp() {
  return withServerLinks((inside) => exchange({ host: ip(0) }, inside, 'plain.mjs', 'plain.mjs'));
}

function withServerLinks(measure) {
  const server = { name: 'server', ip: ip(0), up_mbit: serverMbit, down_mbit: serverMbit, congestion: flags.congestion };
  return withLinks([server, ...workerHosts(roundTripMs / 2)], measure);
}

/** The same over loopback; the server's own link is emulated only where it is narrower than all workers' together. */
async function emulated() {
  const throttle = { upBitsPerSecond: 1e6 * workerMbit, downBitsPerSecond: 1e6 * workerMbit, roundTripMs };
  const serverThrottle = serverMbit < workers * workerMbit ? { upBitsPerSecond: 1e6 * serverMbit, downBitsPerSecond: 1e6 * serverMbit, roundTripMs: 0 } : undefined;
  return exchange({ host: '127.0.0.1', throttle, serverThrottle }, (_host, command, args) => [command, args]);
}

async function exchange(where, inside, serverScript = 'server.mjs', workerScript = 'worker.mjs') {
  // Chunks of 64 KiB: the last one's way through the server is what a round takes beyond its transfer.
  const options = { ...where, workers, length, chunkLength: 16_384, rounds, sameHost: false, gapMs };
  const server = start(...inside('server', process.execPath, program(serverScript, options)));
  const { address } = await server.next();
  const started = Array.from({ length: workers }, (_, rank) => start(...inside(`w${rank}`, process.execPath, program(workerScript, { ...options, rank, address }))));
  const times = [];
  for (let round = 0; round < rounds; round++) times.push((await server.next()).ms);
  const ends = await Promise.all(started.map(({ next }) => next()));
  if (ends.some(({ correct }) => !correct)) throw new Error('a worker has wrong parameters');
  await Promise.all([server, ...started].map(({ exited }) => exited));
  return times;
}

/** Processor time that other machines of this one's host had in its place, in all. */
function stolenMs() {
  const [all] = readFileSync('/proc/stat', 'utf8').split('\n');
  return 10 * Number(all.split(/ +/)[8]);
}

/** Two workers' links lie between neighbours of the ring, so each has half the round trip. */
async function gloo() {
  const interpreter = process.env.TORCH_PYTHON ?? 'python3';
  const probe = start(interpreter, ['-c', 'import torch']);
  if (!(await probe.exited.then(() => true, () => false))) {
    console.error(`${interpreter} has no torch: left out`);
    return undefined;
  }
  return withLinks(workerHosts(roundTripMs / 4), async (inside) => {
    const ranks = Array.from({ length: workers }, (_, rank) =>
      start(...inside(`w${rank}`, interpreter, program('gloo.py', { workers, length, rounds, rank, master: ip(1), port: 29_500, interface: 'eth0' }))),
    );
    const times = [];
    for (let round = 0; round < rounds; round++) times.push((await ranks[0].next()).ms);
    await Promise.all(ranks.map(({ exited }) => exited));
    return times;
  });
}

function workerHosts(delayMs) {
  return Array.from({ length: workers }, (_, rank) => ({
    name: `w${rank}`,
    ip: ip(rank + 1),
    up_mbit: workerMbit,
    down_mbit: workerMbit,
    delay_ms: delayMs,
    loss: Number(flags.loss),
    congestion: flags.congestion,
  }));
}

function ip(host) {
  return `10.78.0.${host + 1}`;
}

function program(script, options) {
  return [join(here, script), JSON.stringify(options)];
}
