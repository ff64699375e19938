import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CliProcess } from './cli-process.js';
import { jobFolder, smallJob } from './jobs.js';

/** More rounds than any machine does while a test looks. */
const LONG_JOB = smallJob({ rounds: 100_000 });
const demo = (workers: number) => ['demo', '--job', 'job.yaml', '--workers', String(workers), '--engine', 'wasm', '--json'];

let folder: string;
let cli: CliProcess;
beforeEach(async () => {
  folder = await jobFolder(LONG_JOB);
});
afterEach(async () => {
  cli?.killAll();
  await rm(folder, { recursive: true });
});

it('ends on Ctrl-C with its model saved, code 130 and no process left', { timeout: 60_000 }, async () => {
  cli = new CliProcess(demo(2), { cwd: folder });
  await cli.line('"event":"commit"');
  expect(cli.processes().length).toBeGreaterThanOrEqual(4);
  cli.signalGroup('SIGINT');
  expect(await cli.exit).toBe(130);
  expect(cli.processes()).toEqual([]);
  expect(cli.verdict).toMatchObject({ event: 'verdict', status: 'cancelled' });
  expect(cli.verdict.samples.applied).toBeGreaterThan(0);
  expect(existsSync(cli.verdict.model)).toBe(true);
  expect(cli.stderr).toBe('');
});

it('ends on Ctrl-C before the workers are up', { timeout: 60_000 }, async () => {
  cli = new CliProcess(demo(1), { cwd: folder });
  await cli.line('"event":"submitted"');
  cli.signalGroup('SIGINT');
  expect(await cli.exit).toBe(130);
  expect(cli.processes()).toEqual([]);
});

it('ends at once on a second Ctrl-C', { timeout: 60_000 }, async () => {
  cli = new CliProcess(demo(1), { cwd: folder });
  await cli.line('"event":"commit"');
  cli.signalGroup('SIGINT');
  cli.signalGroup('SIGINT');
  expect(await cli.exit).toBe(130);
  await cli.nobodyLeft(5000);
});

it('takes its processes along when it is killed', { timeout: 60_000 }, async () => {
  cli = new CliProcess(demo(1), { cwd: folder });
  await cli.line('"event":"commit"');
  cli.signal('SIGKILL');
  await cli.exit;
  await cli.nobodyLeft(15_000);
});

it('says how its server ended, not that nobody answers', { timeout: 60_000 }, async () => {
  cli = new CliProcess(demo(1), { cwd: folder });
  await cli.line('"event":"commit"');
  const server = cli.processes().find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('parameter-server'));
  process.kill(server!, 'SIGKILL');
  expect(await cli.exit).not.toBe(0);
  expect(cli.stderr).toContain('parameter server was killed (SIGKILL)');
  expect(cli.processes()).toEqual([]);
});

it('a server whose command is gone ends in order', { timeout: 60_000 }, async () => {
  const main = fileURLToPath(new URL('../../../parameter-server/dist/main.js', import.meta.url));
  const server = fork(main, ['--port', '0', '--runs', folder, '--insecure'], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] });
  let stderr = '';
  server.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  await once(server, 'message');
  server.disconnect();
  expect(await once(server, 'exit')).toEqual([0, null]);
  expect(stderr).toBe('');
});
