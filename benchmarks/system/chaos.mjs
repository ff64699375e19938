/**
 * Chaos on real processes: SIGKILL of random workers and of the server, also in the midst of a checkpoint, while a job runs;
 * whoever was killed is started again. Then four of twelve workers at once, and some that join one after the other.
 *
 *   node benchmarks/system/chaos.mjs [kills] [fleet] [joiners] [--runs 20] [--seed 1] [--epochs 2] [--joins 3]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createRng, standingEvents } from '@longtail/core';
import { nativeEnvironment } from '@longtail/engine/native';
import { median } from './fleet.mjs';

const { values, positionals } = parseArgs({
  options: { runs: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' }, epochs: { type: 'string', default: '2' }, joins: { type: 'string', default: '3' } },
  allowPositionals: true,
});
const wants = (part) => positionals.length === 0 || positionals.includes(part);
const entry = (name) => fileURLToPath(new URL('./main.js', import.meta.resolve(name)));
const CLI = fileURLToPath(new URL('../../apps/cli/bin/longtail.mjs', import.meta.url));
const BATCH = 128;

/** A throughput that is this part of what it was counts as recovered; over windows of a second. */
const RECOVERED = 0.8;
const WINDOW_MS = 1000;

/** Of each of twelve workers, so that two cores have room for all of them and the server. */
const PACE = 0.05;
const REST_MS = 6000;
const TICKS_A_SECOND = 100;

const job = (epochs, wait = '60s') => `
name: chaos
data: mnist
model: { type: mlp, hidden: [64] }
train: { epochs: ${epochs}, batch: ${BATCH}, optimizer: adam, learningRate: 0.001, seed: 5 }
validation: { everyEpochs: 100 }
checkpoint: { every: 500ms, keep: 2 }
cluster: { wait: ${wait} }
`;

class Cluster {
  folder = mkdtempSync(join(tmpdir(), 'longtail-chaos-'));
  workers = new Map();

  async start(paces) {
    this.port = await freePort();
    this.address = `127.0.0.1:${this.port}`;
    await this.startServer();
    await Promise.all(paces.map((pace, i) => this.join(`w${i}`, pace)));
  }

  async startServer() {
    this.server = this.spawn([entry('@longtail/parameter-server'), '--port', String(this.port), '--runs', this.folder]);
    await said(this.server, ({ type }) => type === 'listening');
  }

  /** `aside`: it computes only when nobody else wants the core, as if it were on a machine of its own (Linux). */
  async join(name, pace, aside = false) {
    const options = ['--name', name, '--engine', 'wasm', '--pace', String(pace), '--threads', '1', '--state', join(this.folder, 'state'), '--wait'];
    const child = this.spawn([entry('@longtail/worker'), '--server', this.address, ...options], aside ? ['chrt', '--idle', '0'] : []);
    this.workers.set(name, { child, pace });
    await said(child, ({ type, event }) => type === 'event' && event.event === 'joined');
  }

  spawn(args, prefix = []) {
    const [command, ...rest] = [...prefix, process.execPath, ...args];
    const child = spawn(command, rest, { env: { ...process.env, ...nativeEnvironment() }, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    child.ended = new Promise((resolve) => child.once('exit', resolve));
    return child;
  }

  async killServer() {
    this.server.kill('SIGKILL');
    await this.server.ended;
  }

  async killWorker(name) {
    const { child } = this.workers.get(name);
    child.kill('SIGKILL');
    await child.ended;
  }

  launch(text) {
    const file = join(this.folder, 'job.yaml');
    writeFileSync(file, text);
    const child = spawn(process.execPath, [CLI, 'launch', file, '--server', this.address, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const events = [];
    let rest = '';
    const waiting = [];
    child.stdout.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      for (const line of lines) events.push(JSON.parse(line));
      for (const look of waiting.splice(0)) look();
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    const until = async (matches) => {
      while (!events.some(matches)) await Promise.race([new Promise((resolve) => waiting.push(resolve)), ended.then((code) => Promise.reject(new Error(`launch ended with ${code}`)))]);
    };
    return { events, ended, until };
  }

  /** The log of the only run, as it is on the disk. */
  log() {
    const [run] = this.runs();
    return readFileSync(join(this.folder, run, 'events.jsonl'), 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line));
  }

  /** When the first such event was logged; looks until it is. */
  async logged(matches) {
    for (;;) {
      const found = this.log().find(matches);
      if (found !== undefined) return found.timeMs;
      await delay(50);
    }
  }

  runs() {
    return readdirSync(this.folder).filter((name) => name.includes('-chaos-'));
  }

  async end() {
    for (const { child } of this.workers.values()) child.kill('SIGKILL');
    this.server.kill('SIGKILL');
    await Promise.all([this.server.ended, ...[...this.workers.values()].map(({ child }) => child.ended)]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function said(child, matches) {
  return new Promise((resolve, reject) => {
    child.on('message', (message) => matches(message) && resolve(message));
    void child.ended.then((code) => reject(new Error(`a process ended with ${code} before it was ready`)));
  });
}

function freePort() {
  const server = createServer();
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => resolve(port)); }));
}

/** Samples lost, and applied more or less often than once, by what stands of the log. */
function account(log) {
  const verdict = log.at(-1).body;
  const standing = standingEvents(log).map(({ body }) => body);
  const total = log.findLast(({ body }) => body.event === 'started').body.samplesTotal;
  const sum = (name, samplesOf) => standing.filter(({ event }) => event === name).reduce((all, one) => all + samplesOf(one), 0);
  const committed = sum('commit', ({ samples }) => samples);
  const contributed = sum('contribution', ({ accepted, samples }) => (accepted ? samples : 0));
  return { status: verdict.status, lost: verdict.samples.lost + total - verdict.samples.applied, doubled: committed - total, unexplained: contributed - committed, loss: verdict.metrics.validation_loss };
}

/** Samples a second of the commits in (fromMs, toMs]. */
function rate(log, fromMs, toMs) {
  const samples = log.filter(({ timeMs, body }) => body.event === 'commit' && timeMs > fromMs && timeMs <= toMs).reduce((sum, { body }) => sum + body.samples, 0);
  return (1000 * samples) / (toMs - fromMs);
}

/** From the kill until a second's throughput is what it was; undefined: the run ended before. */
function recoveryMs(log, killedAtMs) {
  const before = rate(log, killedAtMs - 2 * WINDOW_MS, killedAtMs);
  const after = log.filter(({ timeMs, body }) => body.event === 'commit' && timeMs > killedAtMs + WINDOW_MS);
  const back = after.find(({ timeMs }) => rate(log, timeMs - WINDOW_MS, timeMs) >= RECOVERED * before);
  return back && back.timeMs - killedAtMs;
}

async function undisturbed() {
  const cluster = new Cluster();
  try {
    await cluster.start([0.2, 0.15, 0.1, 0.1]);
    const client = cluster.launch(job(values.epochs));
    await client.ended;
    return account(cluster.log());
  } finally {
    await cluster.end();
  }
}

async function disturbed(seed) {
  const rng = createRng(`chaos/${seed}`);
  const cluster = new Cluster();
  try {
    await cluster.start([0.2, 0.15, 0.1, 0.1]);
    const client = cluster.launch(job(values.epochs));
    await client.until(({ event }) => event === 'checkpoint');
    const kills = [];
    const over = () => client.events.at(-1)?.event === 'verdict';
    for (let i = 0; i < 3 && !over(); i++) {
      await delay(1500 + rng.below(2500));
      if (over()) break;
      if (i === 1 || rng.below(2) === 0) {
        const inCheckpoint = rng.below(2) === 0;
        if (inCheckpoint) await checkpointBegins(join(cluster.folder, cluster.runs()[0], 'checkpoint'));
        kills.push({ what: inCheckpoint ? 'server in a checkpoint' : 'server', atMs: Date.now() });
        await cluster.killServer();
        await delay(rng.below(1000));
        await cluster.startServer();
      } else {
        const name = `w${rng.below(4)}`;
        kills.push({ what: 'worker', atMs: Date.now() });
        await cluster.killWorker(name);
        await delay(rng.below(1000));
        await cluster.join(name, cluster.workers.get(name).pace);
      }
    }
    const exitCode = await client.ended;
    const log = cluster.log();
    const undone = log.filter(({ body }) => body.event === 'resumed').map(({ body }) => body.undone.samples);
    return { ...account(log), exitCode, undone, kills: kills.map(({ what, atMs }) => ({ what, recoveryMs: recoveryMs(log, atMs) })) };
  } finally {
    await cluster.end();
  }
}

function checkpointBegins(folder) {
  mkdirSync(folder, { recursive: true });
  return new Promise((resolve) => {
    const watcher = watch(folder, (_type, name) => {
      if (!String(name).endsWith('.tmp')) return;
      watcher.close();
      resolve();
    });
  });
}

/** Twelve workers: four are killed at once. */
async function fourOfTwelve() {
  return withTwelve(async (cluster) => {
    await delay(8000);
    const killedAtMs = Date.now();
    await Promise.all(['w0', 'w1', 'w2', 'w3'].map((name) => cluster.killWorker(name)));
    await delay(10_000);
    const log = cluster.log();
    const [before, after] = [rate(log, killedAtMs - 6000, killedAtMs), rate(log, killedAtMs + 2000, killedAtMs + 10_000)];
    return { before, after, kept: after / before, rollbacks: log.filter(({ body }) => body.event === 'resumed').length };
  });
}

/**
 * Twelve workers: one more joins and is killed when it is ready, a few times: on the cores of the others (`among`), with what it
 * computes put aside (`beside`), and, put aside too, a server of its own, for what its load alone costs on this machine (`elsewhere`).
 */
async function joiners() {
  const other = new Cluster();
  try {
    await other.start([]);
    await other.launch(job(50, '30min')).until(({ event }) => event === 'submitted');
    return await withTwelve(async (cluster) => {
      const kinds = { among: { to: cluster, aside: false }, beside: { to: cluster, aside: true }, elsewhere: { to: other, aside: true } };
      const costs = { among: [], beside: [], elsewhere: [] };
      for (let time = 0; time < Number(values.joins); time++) {
        for (const [kind, { to, aside }] of Object.entries(kinds)) costs[kind].push(await costOfJoining(cluster, to, `late-${kind}-${time}`, aside));
      }
      return { median: Object.fromEntries(Object.entries(costs).map(([kind, all]) => [kind, median(all.map(({ cost }) => cost))])), ...costs };
    });
  } finally {
    await other.end();
  }
}

/** To the throughput of `cluster`, from the start of the process until it is ready. */
async function costOfJoining(cluster, to, name, aside) {
  await delay(2000);
  const restedAtMs = Date.now();
  const rested = cpuSeconds(cluster.server.pid);
  await delay(REST_MS);
  const joinedAtMs = Date.now();
  const joined = cpuSeconds(cluster.server.pid);
  await to.join(name, PACE, aside);
  const readyAtMs = await to.logged(({ body }) => body.event === 'worker_ready' && body.name === name);
  const ready = cpuSeconds(cluster.server.pid);
  await to.killWorker(name);
  const log = cluster.log();
  return {
    loadMs: readyAtMs - joinedAtMs,
    cost: 1 - rate(log, joinedAtMs, readyAtMs) / rate(log, restedAtMs, joinedAtMs),
    serverCores: [(joined - rested) / (joinedAtMs - restedAtMs), (ready - joined) / (readyAtMs - joinedAtMs)].map((share) => 1000 * share),
  };
}

/** Of a core, since the process began (Linux). */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

async function withTwelve(measure) {
  const cluster = new Cluster();
  try {
    await cluster.start(Array.from({ length: 12 }, () => PACE));
    const client = cluster.launch(job(50));
    await client.until(({ event }) => event === 'commit');
    return await measure(cluster);
  } finally {
    await cluster.end();
  }
}

/** Kills, one run after the other. */
async function kills() {
  const calm = await undisturbed();
  console.log('undisturbed', JSON.stringify(calm));
  const outcomes = [];
  for (let i = 0; i < Number(values.runs); i++) {
    const outcome = await disturbed(Number(values.seed) + i);
    outcomes.push(outcome);
    console.log(`seed ${Number(values.seed) + i}`, JSON.stringify({ ...outcome, against: outcome.loss / calm.loss }));
  }
  const kills = outcomes.flatMap((outcome) => outcome.kills);
  const recoveries = (what) => kills.filter((kill) => kill.what.startsWith(what) && kill.recoveryMs !== undefined).map(({ recoveryMs: ms }) => ms);
  const worst = (numbers) => Math.max(...numbers.map(Math.abs));
  console.log(
    JSON.stringify({
      runs: outcomes.length,
      kills: kills.length,
      succeeded: outcomes.filter(({ status }) => status === 'succeeded').length,
      lost: outcomes.reduce((sum, { lost }) => sum + lost, 0),
      doubled: outcomes.reduce((sum, { doubled }) => sum + Math.abs(doubled), 0),
      unexplained: outcomes.reduce((sum, { unexplained }) => sum + Math.abs(unexplained), 0),
      lossAgainstUndisturbed: [Math.min(...outcomes.map(({ loss }) => loss / calm.loss)), Math.max(...outcomes.map(({ loss }) => loss / calm.loss))],
      recoveryMs: Object.fromEntries(['server', 'worker'].map((what) => [what, recoveries(what).length && { median: median(recoveries(what)), worst: worst(recoveries(what)) }])),
    }),
  );
}

if (wants('kills')) await kills();
if (wants('fleet')) console.log('4 of 12', JSON.stringify(await fourOfTwelve()));
if (wants('joiners')) console.log('joiners', JSON.stringify(await joiners()));
process.exit(0);
