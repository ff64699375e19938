// A server that holds many idle nodes: what their heartbeats cost it, and how long they take to join.
//   node benchmarks/system/sessions.mjs [--sessions 5000] [--processes 4] [--seconds 60] [--tls] [--json]
// Each session is a worker's own (runWorker, a gRPC stream and a ZeroMQ link over loopback), without a device. With --tls 200 share an identity.
// The server takes two files a session, a process of peers five: raise the limit where they do not fit (`ulimit -n 16384`).
import { fork, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '5000' },
    processes: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '60' },
    tls: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const [sessions, processes, seconds] = [values.sessions, values.processes, values.seconds].map(Number);
const CLI = fileURLToPath(new URL('../../apps/cli/bin/longtail.mjs', import.meta.url));
const PEERS = fileURLToPath(new URL('./session-peers.mjs', import.meta.url));
const TICKS_A_SECOND = 100;
/** Nobody waits longer for all to have joined. */
const JOIN_LIMIT_MS = 600_000;
const TELL_EVERY_MS = 5_000;

const folder = mkdtempSync(join(tmpdir(), 'longtail-sessions-'));
const env = { ...process.env, LONGTAIL_STATE: join(folder, 'state') };

/** Resolves with the lines that a command printed. */
function cli(...args) {
  const child = spawn(process.execPath, [CLI, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  return new Promise((resolve, reject) => child.once('close', (code) => (code === 0 ? resolve(lines) : reject(new Error(`longtail ${args.join(' ')} ended with ${code}`)))));
}

async function startServer() {
  const child = spawn(process.execPath, [CLI, 'up', '--port', '0', '--runs', join(folder, 'runs'), '--json', ...(values.tls ? ['--tls'] : [])], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line);
    if (event.event === 'listening') return { child, address: event.address };
  }
  throw new Error('the server ended before it listened');
}

/** Of a process: seconds of a core since it began, MiB that it holds, and files. */
function usage(pid) {
  const [, , ...fields] = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/\(.*\)/, '()').split(' ');
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND, mib: Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024, peakMib: Number(/VmHWM:\s+(\d+)/.exec(status)[1]) / 1024 };
}

const server = await startServer();
const token = values.tls ? (await cli('token', 'create', '--uses', '10000', '--server', server.address))[0] : undefined;
const empty = usage(server.child.pid);
const peers = Array.from({ length: processes }, (_, i) => {
  const count = Math.floor(sessions / processes) + (i < sessions % processes ? 1 : 0);
  const child = fork(PEERS, [JSON.stringify({ address: server.address, count, token })], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const seen = { sent: 0, heard: 0, joined: 0, lost: 0, late: 0 };
  child.on('message', (message) => Object.assign(seen, message));
  child.once('exit', () => (seen.ended = true));
  return { child, seen };
});
const total = () => peers.reduce((sum, { seen }) => ({ sent: sum.sent + seen.sent, heard: sum.heard + seen.heard, joined: sum.joined + seen.joined, lost: sum.lost + seen.lost, late: sum.late + seen.late }), { sent: 0, heard: 0, joined: 0, lost: 0, late: 0 });

try {
  const startedMs = performance.now();
  let toldMs = startedMs;
  while (total().joined - total().lost < sessions) {
    if (peers.some(({ seen }) => seen.ended)) throw new Error('a process of peers ended');
    if (performance.now() - startedMs > JOIN_LIMIT_MS) throw new Error(`${total().joined} of ${sessions} joined in ${JOIN_LIMIT_MS / 1000} s`);
    await delay(100);
    if (performance.now() - toldMs > TELL_EVERY_MS) {
      toldMs = performance.now();
      console.error(`${total().joined} joined after ${((toldMs - startedMs) / 1000).toFixed(0)} s`);
    }
  }
  const joinMs = performance.now() - startedMs;
  const joinCpu = usage(server.child.pid).cpuSeconds - empty.cpuSeconds;
  await delay(5_000); // caches and pools settle
  const before = { ...usage(server.child.pid), ...total(), atMs: performance.now() };
  await delay(1000 * seconds);
  const after = { ...usage(server.child.pid), ...total(), atMs: performance.now() };
  const listedMs = performance.now();
  const listed = await cli('nodes', '--server', server.address, '--json');
  const span = (after.atMs - before.atMs) / 1000;
  const result = {
    benchmark: 'sessions',
    tls: values.tls,
    sessions: listed.length,
    joinSeconds: joinMs / 1000,
    joinCpuSeconds: joinCpu,
    cores: (after.cpuSeconds - before.cpuSeconds) / span,
    mib: after.mib,
    peakMib: after.peakMib,
    emptyMib: empty.mib,
    heartbeatsPerSecond: (after.sent - before.sent + after.heard - before.heard) / span,
    lost: after.lost,
    late: after.late - before.late,
    listSeconds: (performance.now() - listedMs) / 1000,
  };
  console.log(
    values.json
      ? JSON.stringify(result)
      : `${result.sessions} sessions${values.tls ? ' over TLS and CURVE' : ''}, joined in ${result.joinSeconds.toFixed(1)} s (${joinCpu.toFixed(1)} s of a core)\n` +
          `idle: ${result.cores.toFixed(2)} of a core, ${result.mib.toFixed(0)} MiB (${result.peakMib.toFixed(0)} at most, ${result.emptyMib.toFixed(0)} without them), ${result.heartbeatsPerSecond.toFixed(0)} heartbeats a second both ways; ` +
          `${result.lost} sessions lost, ${result.late} heartbeats later than two of them; \`longtail nodes\` ${result.listSeconds.toFixed(1)} s`,
  );
} finally {
  for (const { child } of peers) child.kill('SIGKILL');
  const ended = new Promise((resolve) => server.child.once('exit', resolve));
  server.child.kill('SIGINT');
  await ended;
  rmSync(folder, { recursive: true, force: true });
}
