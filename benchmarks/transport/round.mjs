// A parameter-server round against gloo's all-reduce and TensorFlow's gRPC, in one run on this machine:
//   node benchmarks/transport/round.mjs --workers 4 --mb 100 [--rounds 31] [--only longtail,tcp,gloo,tensorflow,tensorflow1,tensorflow16] [--json]
// TORCH_PYTHON and TF_PYTHON name the interpreters of the peers (default python3); a peer that is absent is said to be and left out.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { WARM_UP_ROUNDS } from './process.mjs';
import { start } from './start.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const { values: flags } = parseArgs({
  options: {
    workers: { type: 'string', default: '4' },
    mb: { type: 'string', default: '100' },
    rounds: { type: 'string', default: '31' },
    only: { type: 'string', default: 'longtail,gloo,tcp,tensorflow,tensorflow1,tensorflow16' },
    json: { type: 'boolean', default: false },
  },
});
const workers = Number(flags.workers);
const options = { workers, length: Number(flags.mb) * 250_000, chunkLength: 262_144, rounds: Number(flags.rounds) };

const contenders = {
  longtail: { title: 'longtail (same host: shared memory)', run: () => longtail({ ...options, sameHost: true }) },
  tcp: { title: 'longtail over TCP', run: () => longtail({ ...options, sameHost: false }) },
  gloo: { title: 'gloo all-reduce', run: () => python(process.env.TORCH_PYTHON, 'torch', 'gloo.py') },
  tensorflow: { title: 'TensorFlow gRPC, resource variable', run: () => tensorflow({ pieces: 1, resource: true }) },
  tensorflow1: { title: 'TensorFlow gRPC, reference variable', run: () => tensorflow({ pieces: 1, resource: false }) },
  tensorflow16: { title: 'TensorFlow gRPC, 16 reference variables', run: () => tensorflow({ pieces: 16, resource: false }) },
};

const results = {};
for (const name of flags.only.split(',')) {
  const { title, run } = contenders[name];
  const measured = await run();
  if (measured === undefined) continue;
  const steady = measured.rounds.slice(WARM_UP_ROUNDS).sort((a, b) => a - b);
  results[name] = { title, medianMs: steady[Math.floor(steady.length / 2)], minMs: steady[0], maxMs: steady.at(-1), cpuMs: measured.cpuMs };
  if (!flags.json) console.log(line(results[name]));
}
if (flags.json) console.log(JSON.stringify({ workers, mb: Number(flags.mb), results }));
else ratios();

function line({ title, medianMs, minMs, maxMs, cpuMs }) {
  const cpu = cpuMs > 0 ? `, processor time ${cpuMs.toFixed(0)} ms` : '';
  return `${title.padEnd(40)} ${medianMs.toFixed(0).padStart(6)} ms  (${minMs.toFixed(0)} to ${maxMs.toFixed(0)})${cpu}`;
}

function ratios() {
  for (const ours of ['longtail', 'tcp']) {
    for (const theirs of ['gloo', 'tensorflow', 'tensorflow1', 'tensorflow16']) {
      if (results[ours] && results[theirs]) {
        console.log(`${results[ours].title} / ${results[theirs].title}: ${(results[ours].medianMs / results[theirs].medianMs).toFixed(2)}`);
      }
    }
  }
}

function script(file, settings) {
  return [join(here, file), JSON.stringify(settings)];
}

async function longtail(settings) {
  const server = start(process.execPath, script('server.mjs', settings));
  const { address } = await server.next();
  const started = Array.from({ length: workers }, (_, rank) => start(process.execPath, script('worker.mjs', { ...settings, rank, address })));
  const rounds = [];
  for (let round = 0; round < settings.rounds; round++) rounds.push((await server.next()).ms);
  const ends = await Promise.all([server, ...started].map(({ next }) => next()));
  if (ends.some(({ correct }) => correct === false)) throw new Error('a worker has wrong parameters');
  await Promise.all([server, ...started].map(({ exited }) => exited));
  return { rounds, cpuMs: ends.reduce((sum, { cpuMs }) => sum + cpuMs, 0) };
}

function tensorflow(variables) {
  return python(process.env.TF_PYTHON, 'tensorflow', 'tf_grpc.py', variables);
}

async function python(interpreter = 'python3', module, file, more = {}) {
  const { exited } = start(interpreter, ['-c', `import ${module}`]);
  if (!(await exited.then(() => true, () => false))) {
    console.error(`${interpreter} has no ${module}: left out`);
    return undefined;
  }
  const peer = start(interpreter, script(file, { ...options, ...more }));
  const rounds = [];
  let cpuMs = 0;
  for await (const line of peer.lines) {
    if (line.ms !== undefined) rounds.push(line.ms);
    cpuMs += line.cpuMs ?? 0;
  }
  await peer.exited;
  return { rounds, cpuMs };
}
