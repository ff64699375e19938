import { readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { RunEvent } from '@longtail/core';
import type { PlanComparison } from '@longtail/store';
import { afterEach, expect, it } from 'vitest';
import { type CliProcess, runCli } from './cli-process.js';
import { jobFolder, smallJob } from './jobs.js';

/** 14 MiB with all that training takes. */
const JOB = `
data: mnist
model: { type: mlp, hidden: [256, 256, 256] }
train: { batch: 64, maxSamples: 768, optimizer: adam, learningRate: 0.001 }
validation: { maxSamples: 64 }
`;
const WORKERS = ['--pipeline', '--job', 'job.yaml', '--workers', '3', '--memory', '8MiB', '--engine', 'wasm'];

const folders: string[] = [];
const processes: CliProcess[] = [];
afterEach(async () => {
  processes.splice(0).forEach((process) => process.killAll());
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

async function folderWith(job: string): Promise<string> {
  const folder = await jobFolder(job);
  folders.push(folder);
  return folder;
}

async function cli(cwd: string, ...args: readonly string[]) {
  const result = await runCli(args, { cwd });
  processes.push(result.process);
  return result;
}

it('demo --pipeline prints the plan first and predicted against measured last; explain says it again', { timeout: 120_000 }, async () => {
  const folder = await folderWith(JOB);
  const demo = await cli(folder, 'demo', ...WORKERS);
  expect(demo.exitCode, demo.process.stderr).toBe(0);
  const { lines } = demo.process;
  const at = (pattern: RegExp) => lines.findIndex((line) => pattern.test(line));
  const places = [at(/^mlp of .*: 1 pipeline$/), at(/^group +blocks +device/), at(/^training /), at(/succeeded$/), at(/predicted → measured/)];
  expect(places).not.toContain(-1);
  expect(places).toEqual([...places].sort((a, b) => a - b));

  const run = /run (\w+)/.exec(lines[at(/: run /)]!)![1]!;
  const explained = await cli(folder, 'explain', run);
  expect(explained.exitCode).toBe(0);
  expect(explained.process.lines).toEqual(lines.slice(at(/predicted → measured/)));
  expect(explained.process.lines.at(-1)).toMatch(/^A round takes .*planned/);

  const runFolder = dirname(/^model +(.*)$/.exec(lines[at(/^model /)]!)![1]!);
  expect(await readFile(join(runFolder, 'report.html'), 'utf8')).toMatch(/<h2>Plan<\/h2>[^]*A round takes .* planned/);
  const machine = await cli(folder, 'explain', runFolder, '--json');
  const { rounds, groups, roundMs, plan } = JSON.parse(machine.process.lines[0]!) as PlanComparison;
  expect(rounds).toBe(9);
  expect(roundMs.planned).toBe(plan.roundMs);
  expect(roundMs.measured).toBeGreaterThan(0);
  const devices = groups.flatMap(({ stages }) => stages.flat());
  expect(new Set(devices.map(({ name }) => name)).size).toBeGreaterThan(1);
  for (const { computeMs, memoryBytes, bytesUp, utilisation } of devices) {
    for (const { measured } of [computeMs, bytesUp, utilisation]) expect(measured).toBeGreaterThan(0);
    // Parameters and gradients, exact in both, are nearly all of it.
    expect(memoryBytes.measured / memoryBytes.planned).toBeGreaterThan(0.8);
    expect(memoryBytes.measured / memoryBytes.planned).toBeLessThan(1.2);
  }
});

it('says why a run has nothing to explain, and what to do', { timeout: 60_000 }, async () => {
  const folder = await folderWith(smallJob({ rounds: 2 }));
  const demo = await cli(folder, 'demo', '--job', 'job.yaml', '--workers', '1', '--engine', 'wasm', '--json');
  expect(demo.process.events.some(({ event }: RunEvent) => event === 'planned')).toBe(false);
  const solo = await cli(folder, 'explain', demo.process.verdict.run);
  expect(solo.process.stderr).toMatch(/has no plan: every worker held the whole model[^]*hint: .*report\.html/);
  expect(solo.exitCode).toBe(2);
  const unknown = await cli(folder, 'explain', 'nowhere');
  expect(unknown.process.stderr).toMatch(/There is no run nowhere in [^]*hint: /);
  expect(unknown.exitCode).toBe(4);
});
