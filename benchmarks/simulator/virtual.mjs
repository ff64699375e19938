// What --mode virtual takes beside its arithmetic: an arm in virtual time against a plain loop over the same gradients, sums, optimizer steps and
// looks at the loss, on the same engine, in one process and in turn. In processor time on one thread, with the ratio to the same loop that also looks at
// each contribution and takes the norm of each mean, as every server does before it steps; and by the clock on as many threads as an arm alone has,
// against the plain loop on one.
//   node benchmarks/simulator/virtual.mjs [--model mlp|gpt] [--strategy bsp|diloco] [--engine wasm|tensorflow] [--repeats 3] [--samples N] [--threads N]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CODEC_IDS, createKernels, createOptimizer, createShard, createVector } from '@longtail/kernels';
import { loadEngine } from '@longtail/engine';
import { runArm, Workbench } from '@longtail/lab';
import { ROOM_FOR_VECTORS } from '@longtail/simulator';
import { parseScenarioFile } from '@longtail/spec';

// As the arms of a bench are run.
if (!ROOM_FOR_VECTORS.every((option) => process.execArgv.includes(option))) {
  const { status } = spawnSync(process.execPath, [...process.execArgv, ...ROOM_FOR_VECTORS, ...process.argv.slice(1)], { stdio: 'inherit' });
  process.exit(status ?? 1);
}

const { values: options } = parseArgs({
  options: { model: { type: 'string' }, strategy: { type: 'string' }, engine: { type: 'string', default: 'wasm' }, repeats: { type: 'string', default: '3' }, samples: { type: 'string' }, threads: { type: 'string' } },
});
const THREADS = Number(options.threads ?? availableParallelism());
const LIMIT = 1.2;

const JOBS = {
  mlp: { data: 'mnist', model: { type: 'mlp', hidden: [256, 128] }, train: { maxSamples: 16_384, batch: 128, optimizer: 'adam', learningRate: 0.001 } },
  gpt: {
    data: { type: 'gutenberg', tokenizer: 'character', sequence: 64, validationFraction: 0.02 },
    model: { type: 'gpt', width: 64, layers: 2, heads: 4, feedForward: 128 },
    train: { maxSamples: 1024, batch: 32, optimizer: 'adamw', learningRate: 0.003 },
  },
};
/** A round of the same samples: a batch over four machines, or eight steps of an eighth of it on each. */
const ARMS = {
  bsp: () => ({ strategy: 'bsp' }),
  diloco: ({ train }) => ({ strategy: 'diloco', 'sync.localSteps': 8, 'train.batch': train.batch / MACHINES }),
};
const MACHINES = 4;
const fleet = { machines: [{ name: 'home', count: MACHINES, samplesPerSecond: 100, link: 'fibre' }] };

async function compare(name, strategy) {
  const { train: recipe, ...of } = JOBS[name];
  const job = { ...of, train: options.samples === undefined ? recipe : { ...recipe, maxSamples: Number(options.samples), epochs: 1000 } };
  const path = join(folder, `${name}.yaml`);
  writeFileSync(path, JSON.stringify({ job, fleet, arms: [ARMS[strategy](job)], evaluation: { points: 4, samples: 256 } }));
  const { arms: [arm], seeds: _, ...scenario } = parseScenarioFile(readFileSync(path, 'utf8'), path, { resolve: (to) => to, read: () => '' });
  const workbench = new Workbench(options.engine);
  const opened = await workbench.open({ ...arm.job, train: { ...arm.job.train, seed: 1 } });
  const plain = await plainLoop(opened);
  const recording = new Recording(workbench);
  const runs = [];
  const train = async (bench) => {
    const { outcome } = await runArm({ scenario, mode: 'virtual', arm, seed: 1, traces: {} }, bench);
    if (outcome.status !== 'done') throw new Error(outcome.reason);
  };
  for (let repeat = 0; repeat <= Number(options.repeats); repeat++) {
    recording.work = [];
    workbench.threads.use(1);
    const virtual = await timed(() => train(recording));
    const alone = await timed(() => plain(recording.work, false));
    const checked = await timed(() => plain(recording.work, true));
    workbench.threads.use(THREADS);
    const spread = await timed(() => train(workbench));
    // The first of each loads code and data.
    if (repeat > 0) runs.push({ virtual: virtual.cpu, alone: alone.cpu, checked: checked.cpu, spread: spread.wall, once: alone.wall });
  }
  const [virtual, alone, checked, spread, once] = ['virtual', 'alone', 'checked', 'spread', 'once'].map((of) => median(runs.map((run) => run[of])));
  const [ratio, ratioChecked, ratioSpread] = [['virtual', 'alone'], ['virtual', 'checked'], ['spread', 'once']].map(([of, to]) => median(runs.map((run) => run[of] / run[to])));
  const steps = recording.work.filter(({ kind }) => kind === 'gradient').length;
  console.log(`${name}, ${strategy}, ${options.engine}: ${opened.job.name}, ${steps} gradients: ${virtual.toFixed(2)} s of CPU in virtual time, ${alone.toFixed(2)} alone: ${ratio.toFixed(2)} × (at most ${LIMIT}); ${checked.toFixed(2)} with the looks of a server: ${ratioChecked.toFixed(2)} ×; ${spread.toFixed(2)} s by the clock on ${THREADS} threads, ${once.toFixed(2)} alone on one: ${ratioSpread.toFixed(2)} ×`);
}

function countOf(gradients) {
  return gradients.reduce((sum, samples) => sum + samples.length, 0);
}

function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

/** Seconds, of CPU and by the clock. */
async function timed(work) {
  const [before, beganMs] = [process.cpuUsage(), performance.now()];
  await work();
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / 1e6, wall: (performance.now() - beganMs) / 1000 };
}

/** A workbench that notes what its models are asked. */
class Recording {
  work = [];

  constructor(workbench) {
    this.workbench = workbench;
  }

  get threads() {
    return this.workbench.threads;
  }

  open(document) {
    return this.workbench.open(document);
  }

  async model(opened) {
    const model = await this.workbench.model(opened);
    return {
      ...model,
      gradient: (parameters, samples, ...others) => {
        this.work.push({ kind: 'gradient', samples });
        return model.gradient(parameters, samples, ...others);
      },
      evaluate: (parameters, split, start, end, ...others) => {
        this.work.push({ kind: 'evaluate', split, start, end });
        return model.evaluate(parameters, split, start, end, ...others);
      },
    };
  }
}

/**
 * The arithmetic of the same training and nothing around it, with the kernels that the run has: each gradient, taken from the engine; with
 * local steps the optimizer's step of the replica that it is of, and how far replicas moved; the sum of what a round brings, and the server's step. With
 * looks: whether each contribution is finite, and the norm of their mean.
 */
async function plainLoop({ job, data }) {
  const engine = await loadEngine(options.engine, { threads: 1 });
  const stage = await engine.build(job.model, 'all', { loss: job.loss, data: data.signature, seed: 1 });
  const { length } = stage.layout;
  const { localSteps, outer = { learningRate: 0.7, momentum: 0.9 } } = job.sync;
  const { batch, optimizer, learningRate } = job.train;
  // A round may be of fewer machines; with local steps a batch is of one of them.
  const roundSamples = localSteps === undefined ? batch : MACHINES * localSteps * batch;
  const base = new Float32Array(length);
  await stage.readParameters(base);
  const replicas = Array.from({ length: MACHINES }, () => ({
    vector: createVector(length),
    parameters: base.slice(),
    optimizer: createOptimizer({ length, optimizer }),
  }));
  const shard = createShard({ length, optimizer: localSteps === undefined ? optimizer : { type: 'sgd', momentum: outer.momentum, nesterov: true, weightDecay: 0 } });
  shard.writeParameters(base);
  const coded = replicas.map(({ vector }) => ({ bytes: new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength), codecId: CODEC_IDS.fp32, weight: 1 }));
  const kernels = createKernels();

  const gradient = async (vector, samples) => {
    await stage.gradient(data.batch('train', samples));
    await stage.takeGradient(vector);
  };
  const step = async (hyper, samples, looks, brought = coded) => {
    if (looks) for (const chunk of brought) if (!shard.inspect(chunk, length).finite) throw new Error('a contribution is not finite');
    shard.beginStep(hyper);
    shard.stepChunk(0, length, brought, 1 / samples, looks);
    shard.readParameters(base);
    await stage.writeParameters(base);
  };
  const round = async (gradients, looks) => {
    if (localSteps === undefined) {
      for (const [k, samples] of gradients.entries()) await gradient(replicas[k].vector, samples);
      return step({ learningRate }, countOf(gradients), looks, coded.slice(0, gradients.length));
    }
    for (const [i, samples] of gradients.entries()) {
      const { vector, parameters, optimizer } = replicas[i % MACHINES];
      await stage.writeParameters(parameters);
      await gradient(vector, samples);
      optimizer.step(parameters, vector, { learningRate }, 1 / samples.length);
    }
    for (const { vector, parameters } of replicas) kernels.subtract(vector, base, parameters);
    await step({ learningRate: outer.learningRate }, MACHINES, looks);
    for (const { parameters } of replicas) parameters.set(base);
  };

  return async (work, looks) => {
    let gradients = [];
    for (const { kind, samples, split, start, end } of work) {
      if (kind === 'evaluate') await stage.evaluate(data.batch(split, Int32Array.from({ length: end - start }, (_, i) => start + i)));
      else {
        gradients.push(samples);
        if (countOf(gradients) === roundSamples) await round(gradients.splice(0), looks);
      }
    }
    if (gradients.length > 0) throw new Error('the last round is not whole');
  };
}

const folder = mkdtempSync(join(tmpdir(), 'longtail-virtual-'));
for (const name of options.model === undefined ? Object.keys(JOBS) : [options.model]) {
  for (const strategy of options.strategy === undefined ? Object.keys(ARMS) : [options.strategy]) await compare(name, strategy);
}
