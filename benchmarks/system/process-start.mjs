// Processor time, with Node's own start, of what a command and its processes and threads load and do until they work: from the bundle, from dist,
// and of other checkouts that are built, in turn.
//   node benchmarks/system/process-start.mjs [--runs 7] [CHECKOUT …]
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { currentBundle } from '../../apps/cli/dist/current-bundle.js';

const { values, positionals } = parseArgs({ options: { runs: { type: 'string', default: '7' } }, allowPositionals: true });
const here = resolve(import.meta.dirname, '../..');
if (currentBundle(here) === undefined) throw new Error('there is no bundle of what is here: npm run build');
const programs = [
  ['bundle', here, 'bin/longtail.mjs'],
  ['dist', here, 'dist/main.js'],
  ...positionals.map((path) => [path, resolve(path), 'bin/longtail.mjs']),
];
const folder = mkdtempSync(join(tmpdir(), 'longtail-start-'));
process.on('exit', () => rmSync(folder, { recursive: true }));

// Each process of a command leaves a file with what it took.
const tell = `import { writeFileSync } from 'node:fs';
  import { isMainThread } from 'node:worker_threads';
  if (isMainThread) process.on('exit', () => writeFileSync(process.env.LONGTAIL_TOOK + '/' + process.pid, JSON.stringify(process.cpuUsage())));`;
const env = {
  ...process.env,
  LONGTAIL_TOOK: folder,
  LONGTAIL_STATE: join(folder, 'state'),
  NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(tell)}`,
};

/** Milliseconds of all processes since it was called last. */
function taken() {
  const files = readdirSync(folder)
    .filter((name) => /^\d+$/.test(name))
    .map((name) => join(folder, name));
  const sum = files
    .map((path) => JSON.parse(readFileSync(path, 'utf8')))
    .reduce((all, { user, system }) => all + (user + system) / 1000, 0);
  for (const path of files) rmSync(path);
  return sum;
}

/** Resolves with the line, and what ends the command and resolves when it is gone. */
async function start(program, args, text) {
  const child = spawn(process.execPath, [program, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise((done) => child.once('exit', () => done()));
  const line = await new Promise((heard) =>
    createInterface({ input: child.stdout })
      .on('line', (line) => line.includes(text) && heard(line))
      .on('close', () => heard(undefined)),
  );
  return { line, end: () => (child.kill('SIGTERM'), ended) };
}

/** To its end, of itself. */
const whole =
  (...args) =>
  async (program) =>
    (await start(program, args, '\0')).end();
const up = (program) => start(program, ['up', '--port', '0', '--json', '--runs', join(folder, 'runs')], '"listening"');

const measured = {
  'longtail --help': whole('--help'),
  'a command that asks a server': whole('nodes', '--server', '127.0.0.1:1'),
  'up, until it listens, and its end': async (program) => (await up(program)).end(),
  'join with engine cpu, until it has joined, and its end': async (program) => {
    const server = await up(program);
    const node = await start(program, ['join', JSON.parse(server.line).address, '--engine', 'cpu', '--json'], '"joined"');
    await node.end();
    const took = taken();
    await server.end();
    taken();
    return took;
  },
};

for (const [what, measure] of Object.entries(measured)) {
  const took = programs.map(() => []);
  for (let run = 0; run < Number(values.runs); run++) {
    for (const [i, [, root, program]] of programs.entries()) took[i].push((await measure(join(root, 'apps/cli', program))) ?? taken());
  }
  const told = programs.map(([name], i) => {
    const times = took[i].sort((a, b) => a - b);
    return `${name} ${times[times.length >> 1].toFixed(0)} ms (least ${times[0].toFixed(0)})`;
  });
  console.log(`${what}: ${told.join(', ')}`);
}
