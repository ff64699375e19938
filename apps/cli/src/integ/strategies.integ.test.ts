import { rm } from 'node:fs/promises';
import { afterEach, expect, it } from 'vitest';
import { type CliProcess, runCli } from './cli-process.js';
import { jobFolder, smallJob } from './jobs.js';

const folders: string[] = [];
const started: CliProcess[] = [];
afterEach(async () => {
  started.forEach((process) => process.killAll());
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

/** Whoever is slow on a busy machine is waited for. */
const cases = [
  ['bsp', 'strategy: bsp'],
  ['bsp with a quorum', 'strategy: bsp, quorum: 0.5, grace: 60s'],
  ['ssp', 'strategy: ssp, staleness: 1'],
  ['asp', 'strategy: asp'],
  ['diloco', 'strategy: diloco, localSteps: 4'],
  ['streaming-diloco', 'strategy: streaming-diloco, localSteps: 6, fragments: 3, codec: int8'],
  ['asp with local steps', 'strategy: asp, localSteps: 4'],
  ['bsp in 2 bits', 'strategy: bsp, codec: int2, downCodec: int4'],
  ['asp in 4 bits', 'strategy: asp, codec: int4'],
  ['diloco with signs', 'strategy: diloco, localSteps: 4, codec: sign'],
  ['diloco with the greatest 5 %', 'strategy: diloco, localSteps: 4, codec: top-k, topK: { density: 0.05, selection: sampled }'],
] as const;

it.each(cases)('%s learns over real processes, and applies every sample once', { timeout: 120_000 }, async (_name, sync) => {
  const folder = await jobFolder(`${smallJob({ rounds: 48 })}sync: { ${sync}, minDeadline: 60s }\ncluster: { minWorkers: 3 }\n`);
  folders.push(folder);
  const args = ['demo', '--job', 'job.yaml', '--workers', '3', '--paces', '1,0.7,0.5', '--engine', 'wasm', '--json'];
  const { exitCode, process } = await runCli(args, { cwd: folder });
  started.push(process);
  expect(exitCode, process.stderr).toBe(0);
  const { verdict, events } = process;
  expect(verdict).toMatchObject({ status: 'succeeded', samples: { applied: 48 * 128, lost: 0 } });
  expect(verdict.metrics.validation_loss!).toBeLessThan(1.6);
  const accepted = events.flatMap((event) => (event.event === 'contribution' && event.accepted ? [event] : []));
  expect(accepted.reduce((sum, { samples }) => sum + samples, 0)).toBe(48 * 128);
  expect(new Set(accepted.map(({ name }) => name)).size).toBe(3);
});
