// Time to loss over home links: four workers paced 1 : 0.6 : 0.4 : 0.25 on 20 Mbit/s up, 100 down and a round trip of 40 ms, in network
// namespaces (tools/netlab, for root), a GPT of 5.6 M parameters, to the loss that PyTorch DDP reaches after 500 steps. Each part leaves its
// figures in the results file; when all are there, `report` sets them side by side.
//   node benchmarks/system/time-to-loss.mjs [target] [rounds] [single] [longtail] [sparse] [free] [ddp] [diloco] [report] [--rounds 12] [--samples 19500] [--results FILE] [--quick]
// Losses alone: target (DDP on free links), rounds (DiLoCo in PyTorch on free links, with so many rounds), single (one machine, on Longtail's
// samples).
// `--samples`: of part longtail; a few thousand do for how much of the time each worker computes.
// Times: longtail, sparse (sparse-diloco), ddp (22 steps), diloco (2 rounds) on the links; free (100 steps of bsp over loopback, nothing shaped).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import yaml from 'yaml';
import { withLinks } from '../transport/netlab.mjs';
import { start } from '../transport/start.mjs';
import { launch, median, startFleet } from './fleet.mjs';
import { prepare } from './time-to-loss/prepare.mjs';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    results: { type: 'string', default: 'time-to-loss.json' },
    rounds: { type: 'string', default: '12' },
    samples: { type: 'string', default: '19500' },
    quick: { type: 'boolean', default: false },
  },
});
const PACES = [0.5, 0.3, 0.2, 0.125];
const UP_MBIT = 20;
const DOWN_MBIT = 100;
const ROUND_TRIP_MS = 40;
const SERVER_MBIT = 1000;
/** Samples a step of DDP, all workers together; 64 tokens each. */
const BATCH = 32;
const DDP_STEPS = flags.quick ? 10 : 500;
/** Steps of a round of DiLoCo in PyTorch. */
const DILOCO_INNER = flags.quick ? 2 : 50;
const RECIPE = { learningRate: 2e-3, beta2: 0.95, weightDecay: 0.1, warmup: 0.05, floor: 0.1 };
const OUTER = { learningRate: 1, momentum: 0 };
/** What Longtail takes to the target: samples of each local step and in all, and how it synchronises. */
const LONGTAIL = {
  batch: 4,
  samples: flags.quick ? 640 : Number(flags.samples),
  sync: { strategy: 'streaming-diloco', localSteps: 20, fragments: 4, codec: 'int2', downCodec: 'int2', outer: OUTER },
};
const SPARSE = {
  batch: 4,
  samples: flags.quick ? 640 : 34_000,
  sync: { strategy: 'sparse-diloco', localSteps: 150, topK: { density: 0.2 }, downCodec: 'int2', outer: OUTER },
};
/** More than any contender goes through. */
const MOST_SAMPLES = 40_000;

function job({ batch, samples, sync }) {
  const { learningRate, beta2, weightDecay, warmup, floor } = RECIPE;
  return {
    name: 'time-to-loss',
    data: { type: 'gutenberg', tokenizer: 'character', sequence: 64, validationFraction: 0.05 },
    model: { type: 'gpt', width: 256, layers: 7, heads: 4 },
    train: {
      maxSamples: samples,
      batch,
      optimizer: { type: 'adamw', beta2, weightDecay },
      learningRate,
      schedule: { type: 'cosine', warmup, floor },
      seed: 1,
    },
    // Once, at the end.
    validation: { everyEpochs: 1, maxSamples: 512 },
    sync,
    cluster: { minWorkers: PACES.length, engine: 'tensorflow' },
  };
}

const PARTS = {
  target: async () => (await torch('ddp', { steps: DDP_STEPS, total: DDP_STEPS, batch: BATCH, warmUp: 0 }, FREE))[0],
  rounds,
  single: async () => trained(job({ batch: BATCH, samples: LONGTAIL.samples, sync: 'bsp' }), { paces: [1] }),
  longtail: () => onLinks(ROUND_TRIP_MS / 2, true, (network, carried) => trained(job(LONGTAIL), { network, carried })),
  sparse: () => onLinks(ROUND_TRIP_MS / 2, true, (network, carried) => trained(job(SPARSE), { network, carried })),
  free: async () => {
    const steps = flags.quick ? 5 : 100;
    const run = await trained(job({ batch: BATCH, samples: steps * BATCH, sync: 'bsp' }), {});
    return { ...run, stepSeconds: run.seconds / steps };
  },
  ddp: (parameters) =>
    onLinks(ROUND_TRIP_MS / 4, false, async (network, carried) => {
      const steps = flags.quick ? 3 : 22;
      const before = carried();
      const [{ seconds }] = await torch('ddp', { steps, total: DDP_STEPS, batch: BATCH, warmUp: 2 }, network);
      // The first model goes to all from rank 0, before the first step.
      const first = (PACES.length - 1) * 2 * 4 * parameters;
      return { stepSeconds: median(seconds), seconds, bytesAStep: (carried() - before - first) / steps };
    }),
  diloco: () =>
    onLinks(ROUND_TRIP_MS / 4, false, async (network, carried) => {
      const before = carried();
      const done = await torch('diloco', { rounds: 2, totalRounds: 2, inner: DILOCO_INNER, localBatch: BATCH / PACES.length, validate: false }, network);
      const seconds = done.map((round) => round.seconds);
      return { roundSeconds: median(seconds), seconds, bytesARound: (carried() - before) / done.length };
    }),
  report,
};

/** Links that are as fast as the machine, and workers that are. */
const FREE = { address: '127.0.0.1', interface: 'lo', paces: PACES.map(() => 1), inside: (_host, command, args) => [command, args] };

/** One process a worker; resolves with what rank 0 says. */
async function torch(page, options, { inside, address, interface: device, paces = PACES }) {
  const port = await freePort();
  const script = fileURLToPath(new URL(`time-to-loss/${page}.py`, import.meta.url));
  const shared = { world: PACES.length, folder, recipe: RECIPE, master: address, port, interface: device, ...options };
  const ranks = paces.map((pace, rank) => start(...inside(`w${rank}`, process.env.TORCH_PYTHON ?? 'python3', [script, JSON.stringify({ ...shared, rank, pace })])));
  const said = [];
  for await (const line of ranks[0].lines) said.push(line);
  await Promise.all(ranks.map(({ exited }) => exited));
  return said;
}

/** DiLoCo in PyTorch with its schedule over so many rounds, added to those that were tried before. */
async function rounds() {
  const totalRounds = flags.quick ? 2 : Number(flags.rounds);
  const done = await torch('diloco', { rounds: totalRounds, totalRounds, inner: DILOCO_INNER, localBatch: BATCH / PACES.length, validate: true }, FREE);
  const others = (results.rounds?.tried ?? []).filter((tried) => tried.rounds !== totalRounds);
  return { tried: [...others, { rounds: totalRounds, loss: done.at(-1).loss }] };
}

/** A run of Longtail: how long from the first task to the last commit, and what of it each worker computed. */
async function trained(document, { paces = PACES, network, carried }) {
  const fleet = await startFleet({ paces, threads: 1, ...(network && { network }) });
  try {
    const file = join(fleet.folder, 'job.yaml');
    writeFileSync(file, yaml.stringify({ ...document, cluster: { ...document.cluster, minWorkers: paces.length } }));
    const before = carried?.();
    const events = await launch(file, fleet.address, network);
    const bytes = carried && carried() - before;
    return { ...figuresOf(events), bytes };
  } finally {
    await fleet.end();
  }
}

function figuresOf(events) {
  const verdict = events.at(-1);
  const contributions = events.filter(({ event }) => event === 'contribution');
  const commits = events.filter(({ event }) => event === 'commit');
  const beginsMs = Math.min(...contributions.map(({ sentAtMs }) => sentAtMs));
  const endsMs = Math.max(...contributions.map(({ doneAtMs }) => doneAtMs));
  const workers = [...new Set(contributions.map(({ name }) => name))].sort().map((name) => {
    const own = contributions.filter((contribution) => contribution.name === name);
    const sum = (of) => own.reduce((total, contribution) => total + (of(contribution) ?? 0), 0);
    const computeMs = sum((contribution) => contribution.computeMs);
    return {
      name,
      samples: sum(({ samples, accepted }) => (accepted ? samples : 0)),
      samplesPerSecond: (1000 * sum(({ samples }) => samples)) / computeMs,
      computes: computeMs / (endsMs - beginsMs),
      ...Object.fromEntries(['sendMs', 'encodeMs', 'receiveMs', 'waitMs'].map((part) => [part, sum(({ exchange }) => exchange?.[part]) / own.length])),
    };
  });
  return {
    loss: verdict.metrics.validation_loss,
    samples: verdict.samples.applied,
    seconds: (endsMs - beginsMs) / 1000,
    rounds: commits.length,
    tensorBytes: verdict.bytes.up + verdict.bytes.down,
    workers,
  };
}

/** Four workers, and for Longtail a server on a link that is wide. `carried` counts the bytes of Ethernet frames that the workers sent and received. */
function onLinks(delayMs, withServer, measure) {
  const ip = (host) => `10.78.0.${host + 1}`;
  const workers = PACES.map((_, i) => ({ name: `w${i}`, ip: ip(i + 1), up_mbit: UP_MBIT, down_mbit: DOWN_MBIT, delay_ms: delayMs }));
  const server = { name: 'server', ip: ip(0), up_mbit: SERVER_MBIT, down_mbit: SERVER_MBIT };
  return withLinks(withServer ? [server, ...workers] : workers, (inside) => {
    const carried = () => workers.reduce((sum, { name }) => sum + interfaceBytes(inside(name, 'cat', ['/proc/net/dev'])), 0);
    return measure({ address: ip(withServer ? 0 : 1), interface: 'eth0', inside }, carried);
  });
}

function interfaceBytes([command, args]) {
  const [received, sent] = /eth0:\s*(\d+)(?:\s+\d+){7}\s+(\d+)/.exec(spawnSync(command, args, { encoding: 'utf8' }).stdout).slice(1);
  return Number(received) + Number(sent);
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Samples a second of all workers, if they never waited. */
function speedOf({ workers }) {
  return workers.reduce((sum, { samplesPerSecond }) => sum + samplesPerSecond, 0);
}

function report() {
  const missing = Object.keys(PARTS).filter((name) => name !== 'report' && results[name] === undefined);
  if (missing.length > 0) throw new Error(`${flags.results} lacks ${missing.join(', ')}: run these parts first`);
  const { target, rounds: tried, single, longtail, sparse, free, ddp, diloco } = results;
  const reached = tried.tried.filter(({ loss }) => loss <= target.loss).map(({ rounds }) => rounds);
  const needed = reached.length > 0 ? Math.min(...reached) : Math.max(...tried.tried.map(({ rounds }) => rounds));
  const ddpSeconds = DDP_STEPS * ddp.stepSeconds;
  const ddpBytes = DDP_STEPS * ddp.bytesAStep;
  const figures = [
    ['loss of DDP after its steps', target.loss, ''],
    ['loss of Longtail, of the target', longtail.loss / target.loss, '≤ 1'],
    ['… of a single machine on the same samples', longtail.loss / single.loss, '≤ 1.01'],
    ['seconds', longtail.seconds, ''],
    ['… of the same fleet on free links', longtail.seconds / (DDP_STEPS * free.stepSeconds), '≤ 1.25'],
    ['… of what its devices compute alone, with no exchange at all', longtail.seconds / ((DDP_STEPS * BATCH) / speedOf(free)), ''],
    ['DDP takes times as long', ddpSeconds / longtail.seconds, '≥ 10'],
    [`DiLoCo in PyTorch, ${reached.length > 0 ? '' : 'not there yet after '}${needed} rounds, takes times as long`, (needed * diloco.roundSeconds) / longtail.seconds, '≥ 3'],
    ['DDP sends times as much', ddpBytes / longtail.bytes, '≥ 100'],
    ['… as sparse-diloco', ddpBytes / sparse.bytes, '≥ 400'],
    ['sparse-diloco, of the target', sparse.loss / target.loss, '≤ 1'],
    ['least that a worker computes', Math.min(...longtail.workers.map(({ computes }) => computes)), '≥ 0.95'],
  ];
  for (const [what, value, bound] of figures) console.log(`${what.padEnd(60)} ${value.toPrecision(4).padStart(8)}  ${bound}`);
}

const folder = mkdtempSync(join(tmpdir(), 'time-to-loss-'));
const results = existsSync(flags.results) ? JSON.parse(readFileSync(flags.results, 'utf8')) : {};
try {
  const parameters = await prepare(job(LONGTAIL), folder, MOST_SAMPLES);
  for (const name of positionals.length > 0 ? positionals : Object.keys(PARTS)) {
    const figures = await PARTS[name](parameters);
    if (figures === undefined) continue;
    results[name] = figures;
    console.log(name, JSON.stringify(figures));
    writeFileSync(flags.results, `${JSON.stringify(results, undefined, 2)}\n`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
