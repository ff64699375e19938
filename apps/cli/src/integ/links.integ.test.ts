import { rm } from 'node:fs/promises';
import type { NodeRow } from '@longtail/protocol';
import { afterEach, expect, it } from 'vitest';
import { CliProcess, runCli } from './cli-process.js';
import { jobFolder, smallJob } from './jobs.js';
import { runHere } from './run-here.js';

/** Bit/s. */
const LIMIT = 4e6;

let folder: string;
const started: CliProcess[] = [];
afterEach(async () => {
  started.forEach((process) => process.killAll());
  await rm(folder, { recursive: true });
});

it('trains over a limited uplink and an emulated link, and shows what they carry', { timeout: 90_000 }, async () => {
  folder = await jobFolder(`${smallJob({ rounds: 16 })}sync: { strategy: diloco, localSteps: 2, minDeadline: 60s }\ncluster: { minWorkers: 2 }\n`);
  const settings = { cwd: folder };
  const start = (...args: string[]) => {
    const process = new CliProcess(args, settings);
    started.push(process);
    return process;
  };
  const up = start('up', '--port', '0', '--json');
  const address = await up.listening();
  const workers = [
    start('join', address, '--engine', 'wasm', '--name', 'limited', '--max-upload', `${LIMIT / 1e6}mbit`),
    start('join', address, '--engine', 'wasm', '--name', 'far', '--link', 'up=8mbit,down=40mbit,rtt=30ms'),
  ];
  await Promise.all(workers.map((worker) => worker.line('there and back')));
  const launched = await runCli(['launch', 'job.yaml', '--server', address, '--json'], settings);
  started.push(launched.process);
  expect(launched.process.verdict, launched.process.stderr).toMatchObject({ status: 'succeeded', samples: { applied: 16 * 128, lost: 0 } });

  // A slow machine takes longer, and so never sends faster than it may. The first one counts the parameters that began the run.
  const [, ...uploads] = launched.process.events.flatMap((event) => (event.event === 'contribution' && event.name === 'limited' ? [event] : []));
  expect(uploads.length).toBeGreaterThan(1);
  const ms = Math.max(...uploads.map(({ doneAtMs }) => doneAtMs)) - Math.min(...uploads.map(({ sentAtMs }) => sentAtMs));
  const burstMs = 20;
  expect(8 * uploads.reduce((sum, { bytesUp }) => sum + bytesUp, 0)).toBeLessThanOrEqual((LIMIT * (ms + burstMs)) / 1000);

  const { process } = await runCli(['nodes', '--server', address, '--json'], settings);
  started.push(process);
  const rows = new Map(process.lines.map((line) => JSON.parse(line) as NodeRow).map((row) => [row.name, row]));
  // Mapped memory, or loopback, would carry a hundred times that.
  const [limited, far] = [rows.get('limited')!, rows.get('far')!];
  expect(limited.maxUploadBitsPerSecond).toBe(LIMIT);
  expect(limited.link.upBitsPerSecond).toBeLessThan(2 * LIMIT);
  expect(far.maxUploadBitsPerSecond).toBe(0);
  expect(far.link.upBitsPerSecond).toBeLessThan(2 * 8e6);
  expect(far.link.downBitsPerSecond).toBeLessThan(2 * 40e6);
  expect(far.link.roundTripMs).toBeGreaterThan(29);
});

it.each([
  [['--link', 'up=20MB'], 'up must be a rate above 0, like 20mbit, found "20MB". Write it like up=20mbit,down=100mbit,rtt=40ms.'],
  [['--max-upload', 'fast'], 'It must be a rate like 10mbit or 1gbit.'],
])('join %j says what is wrong', async (options, complaint) => {
  folder = await jobFolder('');
  const { stderr, exitCode } = await runHere(['join', ...options], folder);
  expect(exitCode).toBe(2);
  expect(stderr.replaceAll(/\s+/g, ' ')).toContain(complaint);
});
