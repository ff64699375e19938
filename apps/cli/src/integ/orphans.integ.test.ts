import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive } from '@longtail/store';
import { afterEach, beforeEach, expect, it } from 'vitest';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longtail-orphans-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** What a test does that starts a server and workers, and never comes to its end. */
const TEST = `
const [module, cwd] = process.argv.slice(1);
const { CliProcess } = await import(module);
const server = new CliProcess(['up', '--port', '0', '--json'], { cwd });
const worker = new CliProcess(['join', await server.listening(), '--engine', 'wasm', '--threads', '1', '--json'], { cwd });
await worker.line('"joined"');
console.log(JSON.stringify([server, worker].flatMap((cli) => cli.processes())));
`;

it('what a test started ends when the test is killed', { timeout: 60_000 }, async () => {
  const module = new URL('../../dist/integ/cli-process.js', import.meta.url).href;
  const test = spawn(process.execPath, ['--input-type=module', '--eval', TEST, module, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface({ input: test.stdout }), 'line')) as [string];
  const pids = JSON.parse(line) as number[];
  expect(pids.length).toBeGreaterThanOrEqual(3); // the server, the worker, and its process that computes
  test.kill('SIGKILL');
  for (const untilMs = performance.now() + 15_000; pids.some(isAlive) && performance.now() < untilMs; ) await delay(20);
  const left = pids.filter(isAlive);
  for (const pid of left) process.kill(pid, 'SIGKILL');
  expect(left).toEqual([]);
});
