// A training step (forward, backward, Adam) of three models through the engine's own interface, against PyTorch with the
// same weights and data. All contenders of a model run at once, each in a fresh process, and take turns in slices, so
// that whatever else the machine does hits them alike: read the ratios.
//
//   node benchmarks/engine/step.mjs [--threads 1,2] [--models mlp,cnn,gpt] [--engines tensorflow,wasm] [--seconds 12] [--python PATH] [--json]
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createRng, elementCount } from '@longtail/core';
import { nativeEnvironment } from '@longtail/engine/native';
import { RECIPES } from './models.mjs';

const { values: options } = parseArgs({
  options: {
    threads: { type: 'string', default: '1,2' },
    models: { type: 'string', default: 'mlp,cnn,gpt' },
    engines: { type: 'string', default: 'tensorflow,wasm' },
    seconds: { type: 'string', default: '12' },
    python: { type: 'string', default: process.env.PYTHON ?? 'python3' },
    json: { type: 'boolean', default: false },
  },
});

const LOSSES_COMPARED = 5;
const WARM_UP_STEPS = 3;
const SLICE_MS = 400;
const LOSS_TOLERANCE = 5e-5;

const here = (file) => new URL(file, import.meta.url).pathname;
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const geometricMean = (numbers) => Math.exp(numbers.reduce((sum, x) => sum + Math.log(x), 0) / numbers.length);

function requireTorch() {
  const probe = spawnSync(options.python, ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
  if (probe.status === 0) return probe.stdout.trim();
  console.error(
    `PyTorch is what this benchmark compares with, and ${options.python} does not have it. Install it (\`pip install torch==2.13.0\`), or name another Python with --python.`,
  );
  process.exit(5);
}

/** A process that builds and steps one model. */
class Contender {
  ms = [];
  losses = [];

  constructor(name, command, args, environment) {
    this.name = name;
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...environment } });
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }

  async ask(line) {
    this.process.stdin.write(`${line}\n`);
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`${this.name} ended before it answered "${line}"`);
    return JSON.parse(value);
  }

  async warmUp(folder) {
    await this.ask(`build ${folder}`);
    const { ms, losses } = await this.ask(`step ${LOSSES_COMPARED + WARM_UP_STEPS}`);
    this.losses = losses.slice(0, LOSSES_COMPARED);
    this.slice = Math.max(1, Math.round(SLICE_MS / median(ms.slice(-WARM_UP_STEPS))));
  }

  async takeTurn() {
    this.ms.push(...(await this.ask(`step ${this.slice}`)).ms);
  }

  async end() {
    this.peakBytes = (await this.ask('peak')).peakBytes;
    this.process.stdin.end();
    await once(this.process, 'exit');
  }

  get result() {
    return { name: this.name, ms: median(this.ms), steps: this.ms.length, peakBytes: this.peakBytes, losses: this.losses };
  }
}

function writeData(folder, model) {
  const { batch, inputShape, inputType, targetShape, classes } = RECIPES[model];
  const rng = createRng(`benchmark ${model}`);
  const inputs = Array.from({ length: batch * elementCount(inputShape) }, () =>
    inputType === 'float32' ? rng.normal() : rng.below(classes),
  );
  writeFileSync(join(folder, 'inputs.bin'), inputType === 'float32' ? Float32Array.from(inputs) : Int32Array.from(inputs));
  writeFileSync(
    join(folder, 'targets.bin'),
    Int32Array.from({ length: batch * elementCount(targetShape) }, () => rng.below(classes)),
  );
}

async function measure(model, threads) {
  const folder = mkdtempSync(join(tmpdir(), 'longtail-benchmark-'));
  try {
    writeData(folder, model);
    const engines = options.engines.split(',').filter((engine) => engine === 'tensorflow' || threads === 1); // the others have one thread
    const contenders = [
      ...engines.map(
        (engine) => new Contender(engine, process.execPath, [here('trainee.mjs'), engine, model, threads], nativeEnvironment()),
      ),
      ...['eager', 'compile'].map(
        (variant) =>
          new Contender(`torch ${variant}`, options.python, [here('torch_twin.py'), variant, model, threads], {
            OMP_NUM_THREADS: String(threads),
          }),
      ),
    ];
    // One after the other: the first writes the weights that the others start from.
    for (const contender of contenders) await contender.warmUp(folder);
    const end = performance.now() + Number(options.seconds) * 1000;
    while (performance.now() < end || contenders[0].ms.length < 9) {
      for (const contender of contenders) {
        await contender.takeTurn();
        await sleep(30); // OpenMP's threads spin for a while after their last work
      }
    }
    for (const contender of contenders) await contender.end();
    return compare(model, threads, Object.fromEntries(contenders.map((contender) => [contender.name, contender.result])));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function compare(model, threads, results) {
  const [own, eager, compiled] = [results.tensorflow, results['torch eager'], results['torch compile']];
  return {
    model,
    threads,
    ms: Object.fromEntries(Object.values(results).map(({ name, ms }) => [name, ms])),
    ratio: own.ms / Math.min(eager.ms, compiled.ms),
    memoryRatio: own.peakBytes / Math.min(eager.peakBytes, compiled.peakBytes),
    peakBytes: { tensorflow: own.peakBytes, torch: Math.min(eager.peakBytes, compiled.peakBytes) },
    lossDifference: Math.max(...own.losses.map((loss, i) => Math.abs(loss - eager.losses[i]))),
    wasmRatio: results.wasm && results.wasm.ms / own.ms,
    losses: own.losses,
  };
}

const torch = requireTorch();
const say = options.json ? () => {} : console.log;
say(`ms a step (median), PyTorch ${torch}; ratio = tensorflow / best PyTorch\n`);
say(
  '| model | threads | tensorflow | torch eager | torch compile | ratio | peak MB | torch | ratio | loss Δ | wasm / tensorflow |\n|---|---|---|---|---|---|---|---|---|---|---|',
);
const rows = [];
for (const threads of options.threads.split(',').map(Number)) {
  for (const model of options.models.split(',')) {
    const row = await measure(model, threads);
    rows.push(row);
    const megabytes = (bytes) => Math.round(bytes / 2 ** 20);
    say(
      `| ${[model, threads, row.ms.tensorflow.toFixed(2), row.ms['torch eager'].toFixed(2), row.ms['torch compile'].toFixed(2), row.ratio.toFixed(3), megabytes(row.peakBytes.tensorflow), megabytes(row.peakBytes.torch), row.memoryRatio.toFixed(2), row.lossDifference.toExponential(1), row.wasmRatio?.toFixed(1) ?? '–'].join(' | ')} |`,
    );
  }
}
const summary = options.threads
  .split(',')
  .map(Number)
  .map((threads) => {
    const ratios = rows.filter((row) => row.threads === threads).map((row) => row.ratio);
    return { threads, geometricMean: geometricMean(ratios), worst: Math.max(...ratios) };
  });
const met =
  summary.every(({ geometricMean, worst }) => geometricMean <= 0.75 && worst <= 1) &&
  rows.every((row) => row.memoryRatio <= 1.5 && row.lossDifference <= LOSS_TOLERANCE && (row.wasmRatio ?? 0) <= 10);
if (options.json) console.log(JSON.stringify({ torch, rows, summary, met }));
else {
  for (const { threads, geometricMean, worst } of summary)
    say(
      `\n${threads} thread${threads > 1 ? 's' : ''}: geometric mean ${geometricMean.toFixed(3)} (≤ 0.75), worst ${worst.toFixed(3)} (≤ 1.0)`,
    );
  say(`\n${met ? 'All targets are met.' : 'Not all targets are met.'} Memory ≤ 1.5, losses within ${LOSS_TOLERANCE}, wasm ≤ 10.`);
}
process.exitCode = met ? 0 : 1;
