// A server and workers in processes of their own, as `longtail up` and `longtail join` start them, with what they say.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nativeEnvironment } from '@longtail/engine/native';

const entry = (name) => fileURLToPath(new URL('./main.js', import.meta.resolve(name)));

/** A program on this machine itself, at the address of its server. */
const HERE = { address: '127.0.0.1', inside: (_host, command, args) => [command, args] };

/**
 * @param {{ paces: number[], threads: number, engine?: string, memory?: number, link?: string, network?: typeof HERE }} options
 *   `memory`: bytes that each worker offers; `link`: that each emulates, up and down in bit/s and the round trip in milliseconds; `network`: where its programs run, in the hosts `server` and `w0`, `w1`, …
 */
export async function startFleet({ paces, threads, engine = 'tensorflow', memory, link, network = HERE }) {
  const folder = mkdtempSync(join(tmpdir(), 'longtail-bench-'));
  const beyond = network === HERE ? [] : ['--host', network.address, '--insecure'];
  const node = (host, module, args) => network.inside(host, process.execPath, [module, ...args]);
  const server = await startChild(
    node('server', entry('@longtail/parameter-server'), ['--port', '0', '--runs', folder, ...beyond]),
    (message) => message.type === 'listening',
  );
  const { address } = server.first;
  const environment = { ...nativeEnvironment(), TF_NUM_INTRAOP_THREADS: String(threads), TF_NUM_INTEROP_THREADS: '1' };
  const workers = await Promise.all(
    paces.map((pace, i) => {
      const options = ['--name', `worker-${i + 1}`, '--engine', engine, '--pace', String(pace), '--threads', String(threads)];
      const offer = memory === undefined ? [] : ['--memory', String(memory)];
      const emulated = link === undefined ? [] : ['--link', link];
      return startChild(
        node(`w${i}`, entry('@longtail/worker'), ['--server', address, ...options, ...offer, ...emulated]),
        (message) => message.type === 'event' && message.event.event === 'joined',
        environment,
      );
    }),
  );
  return {
    address,
    folder,
    server,
    workers,
    async end() {
      await Promise.all(workers.map((worker) => worker.end()));
      await server.end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Resolves when the child has said what `ready` waits for. */
function startChild([command, args], ready, environment = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { TF_CPP_MIN_LOG_LEVEL: '2', ...process.env, ...environment }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const messages = [];
    const ended = new Promise((done) => child.once('exit', done));
    child.on('message', (message) => {
      messages.push(message);
      if (ready(message)) {
        const end = () => {
          if (child.connected) child.send({ type: 'leave', reason: 'the benchmark has ended' });
          return ended;
        };
        resolve({ messages, first: message, pid: child.pid, end });
      }
    });
    void ended.then((code) => reject(new Error(`${args.join(' ')} ended with ${code} before it was ready`)));
  });
}

/** Launches a job with the command that users type; resolves with its events, each with the time it was heard. */
export function launch(jobFile, address, network = HERE) {
  const cli = fileURLToPath(new URL('../../apps/cli/bin/longtail.mjs', import.meta.url));
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const [command, args] = network.inside('server', process.execPath, [cli, 'launch', jobFile, '--server', address, '--json']);
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
    const events = [];
    let rest = '';
    child.stdout.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      for (const line of lines) events.push({ heardMs: performance.now() - startedMs, ...JSON.parse(line) });
    });
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve(events) : reject(new Error(`launch ended with ${code}: ${JSON.stringify(events.at(-1))}`))));
  });
}

export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
