/**
 * A server is killed at a random version, again and again, while its standby follows: how long until that one is the server, until a
 * worker is back, and until the next commit; and which commits of the first server's log the second one has not.
 *
 *   node benchmarks/system/standby.mjs [--runs 5] [--workers 2] [--seed 1]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createRng } from '@longtail/core';
import { median } from './fleet.mjs';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '5' }, workers: { type: 'string', default: '2' }, seed: { type: 'string', default: '1' } },
});
const CLI = fileURLToPath(new URL('../../apps/cli/bin/longtail.mjs', import.meta.url));
const ROUNDS = 200;
const JOB = `
name: standby
data: mnist
model: { type: mlp, hidden: [64] }
train: { batch: 128, epochs: 1000, maxSamples: ${ROUNDS * 128}, optimizer: adam, learningRate: 0.001, seed: 5 }
validation: { everyEpochs: 100 }
`;

/** A command with --json, and its lines. */
class Command {
  lines = [];
  waiting = [];

  constructor(folder, ...args) {
    this.process = spawn(process.execPath, [CLI, ...args, '--json'], { cwd: folder, env: { ...process.env, LONGTAIL_STATE: join(folder, 'state') }, stdio: ['ignore', 'pipe', 'ignore'] });
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      this.lines.push(line);
      for (const wake of this.waiting.splice(0)) wake();
    });
    this.ended = new Promise((resolve) => this.process.once('exit', resolve));
  }

  async line(text) {
    for (let seen = 0; ; ) {
      const found = this.lines.slice(seen).find((line) => line.includes(text));
      if (found !== undefined) return JSON.parse(found);
      seen = this.lines.length;
      if ((await Promise.race([this.ended.then(() => 'ended'), new Promise((resolve) => this.waiting.push(resolve))])) === 'ended') throw new Error(`ended without ${text}`);
    }
  }

  kill() {
    this.process.kill('SIGKILL');
  }
}

async function takeOver(rng) {
  const folder = mkdtempSync(join(tmpdir(), 'longtail-standby-'));
  const commands = [];
  const start = (...args) => {
    const command = new Command(folder, ...args);
    commands.push(command);
    return command;
  };
  try {
    writeFileSync(join(folder, 'job.yaml'), JOB);
    const first = start('up', '--port', '0', '--runs', 'first', '--state', 'one');
    const { address } = await first.line('"listening"');
    await start('up', '--port', '0', '--runs', 'second', '--state', 'two', '--standby-of', address).line('"following"');
    for (let i = 0; i < Number(values.workers); i++) await start('join', address, '--engine', 'wasm', '--name', `w${i}`, '--throttle', '0.3').line('"joined"');
    const client = start('launch', 'job.yaml', '--server', address);
    await client.line('"in step"');
    await client.line(`"version":${20 + rng.below(ROUNDS / 2)},`);
    const killedAtMs = Date.now();
    first.kill();
    const exit = await client.ended;
    const [before, after] = [eventsIn(join(folder, 'first')), eventsIn(join(folder, 'second'))];
    const at = after.findIndex(({ body }) => body.event === 'taken_over');
    const since = (name) => after.slice(at).find(({ body }) => body.event === name).timeMs - killedAtMs;
    const commits = before.filter(({ body }) => body.event === 'commit');
    const lost = commits.filter(({ seq, body }) => JSON.stringify(after[seq - 1]?.body) !== JSON.stringify(body));
    const { samples } = after.at(-1).body;
    return { exit, tookMs: since('taken_over'), backMs: since('node_joined'), commitMs: since('commit'), commits: commits.length, lost: lost.length, exact: samples.applied === ROUNDS * 128 && samples.lost === 0 };
  } finally {
    for (const command of commands) command.kill();
    await Promise.all(commands.map(({ ended }) => ended));
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function eventsIn(runs) {
  const [run] = readdirSync(runs, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return readFileSync(join(runs, run.name, 'events.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
}

const rng = createRng(Number(values.seed));
const outcomes = [];
for (let i = 0; i < Number(values.runs); i++) {
  const outcome = await takeOver(rng);
  console.log(JSON.stringify(outcome));
  outcomes.push(outcome);
}
for (const [name, what] of [['tookMs', 'taken over'], ['backMs', 'first worker back'], ['commitMs', 'next commit']]) {
  const times = outcomes.map((outcome) => outcome[name]);
  console.log(`${what}: median ${median(times).toFixed(0)} ms, at most ${Math.max(...times).toFixed(0)} ms after the kill`);
}
const sum = (name) => outcomes.reduce((total, outcome) => total + outcome[name], 0);
console.log(`${sum('lost')} of ${sum('commits')} commits lost; ${outcomes.filter(({ exit, exact }) => exit === 0 && exact).length} of ${outcomes.length} runs ended with exit 0 and exact samples`);
