import { readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { PlanComparison } from '@longtail/store';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type CliProcess, runCli } from './cli-process.js';
import { jobFolder } from './jobs.js';

/** 14 MiB with all that training takes. */
const JOB = `
data: { type: csv, path: points.csv, target: label }
model: { type: mlp, hidden: [400, 400, 400] }
train: { batch: 64, maxSamples: 768, epochs: 1000, optimizer: adam, learningRate: 0.001 }
validation: { maxSamples: 64, everyEpochs: 100000 }
`;
const WORKERS = ['--pipeline', '--job', 'job.yaml', '--workers', '3', '--memory', '8MiB', '--engine', 'wasm'];

let folder: string;
const processes: CliProcess[] = [];
beforeEach(async () => {
  folder = await jobFolder(JOB);
});
afterEach(async () => {
  processes.forEach((process) => process.killAll());
  await rm(folder, { recursive: true });
});

async function cli(...args: readonly string[]) {
  const result = await runCli(args, { cwd: folder });
  processes.push(result.process);
  return result;
}

it('demo --pipeline prints the plan first and predicted against measured last; explain says it again', { timeout: 120_000 }, async () => {
  const demo = await cli('demo', ...WORKERS);
  expect(demo.exitCode, demo.process.stderr).toBe(0);
  const { lines } = demo.process;
  const at = (pattern: RegExp) => lines.findIndex((line) => pattern.test(line));
  const places = [at(/^mlp of .*: 1 pipeline$/), at(/^group +blocks +device/), at(/^training /), at(/succeeded$/), at(/predicted → measured/)];
  expect(places).not.toContain(-1);
  expect(places).toEqual([...places].sort((a, b) => a - b));

  const run = /run (\w+)/.exec(lines[at(/: run /)]!)![1]!;
  const explained = await cli('explain', run);
  expect(explained.exitCode).toBe(0);
  expect(explained.process.lines).toEqual(lines.slice(at(/predicted → measured/)));
  expect(explained.process.lines.at(-1)).toMatch(/^A round takes .*planned/);

  const runFolder = dirname(/^model +(.*)$/.exec(lines[at(/^model /)]!)![1]!);
  expect(await readFile(join(runFolder, 'report.html'), 'utf8')).toMatch(/<h2>Plan<\/h2>[^]*A round takes .* planned/);
  const machine = await cli('explain', runFolder, '--json');
  const { rounds, plans, groups, roundMs, plan } = JSON.parse(machine.process.lines[0]!) as PlanComparison;
  // Where the machine is busy groups move meanwhile, and the plan that most rounds were done under is compared.
  expect(rounds).toBeGreaterThan(0);
  if (plans === 1) expect(rounds).toBe(9);
  expect(roundMs.planned).toBe(plan.roundMs);
  expect(roundMs.measured).toBeGreaterThan(0);
  const devices = groups.flatMap(({ stages }) => stages.flat());
  expect(new Set(devices.map(({ name }) => name)).size).toBeGreaterThan(1);
  for (const { computeMs, memoryBytes, bytesUp, utilisation } of devices) {
    for (const { measured } of [computeMs, bytesUp, utilisation, memoryBytes]) expect(measured).toBeGreaterThan(0);
    expect(memoryBytes.measured / memoryBytes.planned).toBeLessThan(1.2);
  }
  // Parameters and gradients, exact in both, are nearly all of it; a stage of the output alone holds little else than what a pass takes, which a plan estimates.
  const bytes = (which: 'planned' | 'measured') => devices.reduce((sum, { memoryBytes }) => sum + memoryBytes[which], 0);
  expect(bytes('measured') / bytes('planned')).toBeGreaterThan(0.8);
});
