// A parameter-server round against gloo's all-reduce and TensorFlow's gRPC, in one run on this machine:
//   node benchmarks/transport/round.mjs --workers 4 --mb 100 [--rounds 9] [--only longtail,tcp,gloo,tensorflow] [--json]
// TORCH_PYTHON and TF_PYTHON name the interpreters of the peers (default python3); a peer that is absent is said to be and left out.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const { values: flags } = parseArgs({
  options: {
    workers: { type: 'string', default: '4' },
    mb: { type: 'string', default: '100' },
    rounds: { type: 'string', default: '9' },
    only: { type: 'string', default: 'longtail,tcp,gloo,tensorflow' },
    json: { type: 'boolean', default: false },
  },
});
const workers = Number(flags.workers);
const options = { workers, length: Number(flags.mb) * 250_000, chunkLength: 262_144, rounds: Number(flags.rounds) };

const contenders = {
  longtail: { title: 'longtail (same host: shared memory)', run: () => longtail({ ...options, sameHost: true }) },
  tcp: { title: 'longtail over TCP', run: () => longtail({ ...options, sameHost: false }) },
  gloo: { title: 'gloo all-reduce', run: () => python(process.env.TORCH_PYTHON, 'torch', 'gloo.py') },
  tensorflow: { title: 'TensorFlow gRPC push/pull', run: () => python(process.env.TF_PYTHON, 'tensorflow', 'tf_grpc.py') },
};

const results = {};
for (const name of flags.only.split(',')) {
  const { title, run } = contenders[name];
  const rounds = await run();
  if (rounds === undefined) continue;
  // The first rounds fill memory and caches.
  const steady = rounds.slice(2).sort((a, b) => a - b);
  results[name] = { title, medianMs: steady[Math.floor(steady.length / 2)], minMs: steady[0], maxMs: steady.at(-1) };
  if (!flags.json) console.log(line(results[name]));
}
if (flags.json) console.log(JSON.stringify({ workers, mb: Number(flags.mb), results }));
else ratios();

function line({ title, medianMs, minMs, maxMs }) {
  return `${title.padEnd(38)} ${medianMs.toFixed(0).padStart(6)} ms  (${minMs.toFixed(0)} to ${maxMs.toFixed(0)})`;
}

function ratios() {
  for (const ours of ['longtail', 'tcp']) {
    for (const theirs of ['gloo', 'tensorflow']) {
      if (results[ours] && results[theirs]) {
        console.log(`${results[ours].title} / ${results[theirs].title}: ${(results[ours].medianMs / results[theirs].medianMs).toFixed(2)}`);
      }
    }
  }
}

async function longtail(settings) {
  const server = start(process.execPath, ['server.mjs'], settings);
  const { address } = await server.next();
  const started = Array.from({ length: workers }, (_, rank) => start(process.execPath, ['worker.mjs'], { ...settings, rank, address }));
  const rounds = [];
  for (let round = 0; round < settings.rounds; round++) rounds.push((await server.next()).ms);
  for (const worker of started) {
    const { correct } = await worker.next();
    if (!correct) throw new Error('a worker has wrong parameters');
  }
  await Promise.all([server, ...started].map(({ exited }) => exited));
  return rounds;
}

async function python(interpreter = 'python3', module, script) {
  const probe = spawn(interpreter, ['-c', `import ${module}`], { stdio: 'ignore' });
  const present = await new Promise((resolve) => probe.on('error', () => resolve(false)).on('exit', (code) => resolve(code === 0)));
  if (!present) {
    console.error(`${interpreter} has no ${module}: left out`);
    return undefined;
  }
  const peer = start(interpreter, [script], options);
  const rounds = [];
  for (let round = 0; round < options.rounds; round++) rounds.push((await peer.next()).ms);
  await peer.exited;
  return rounds;
}

/** A process of the benchmark; `next()` is its next report. */
function start(command, [script], settings) {
  const child = spawn(command, [join(here, script), JSON.stringify(settings)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const exited = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => (code === 0 ? resolve() : reject(new Error(`${script} ended with ${signal ?? code}`))));
  });
  exited.catch(() => undefined);
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) {
      await exited;
      throw new Error(`${script} ended early`);
    }
    return JSON.parse(value);
  };
  return { next, exited };
}
