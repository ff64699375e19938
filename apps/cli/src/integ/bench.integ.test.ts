import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EXIT_CODES, type BenchResult } from '@longtail/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CliProcess, runCli } from './cli-process.js';
import { Fleet } from './fleet.js';
import { freePort } from './free-port.js';
import { runHere } from './run-here.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longtail-bench-'));
  const rows = Array.from({ length: 100 }, (_, i) => `${(i % 2) + (i % 7) / 10},${i % 2 ? 'left' : 'right'}`);
  await writeFile(join(folder, 'points.csv'), ['x,side', ...rows].join('\n'));
});
afterEach(() => rm(folder, { recursive: true }));

const SCENARIO = `
job:
  data: { type: csv, path: points.csv, target: side }
  model: { type: mlp, hidden: [8] }
  train: { epochs: 2, batch: 20, learningRate: 0.02 }
fleet: { machines: [{ gpu: Iris Xe, count: 2, link: { class: cable, up: { from: 5mbit, to: 20mbit } } }, { name: slow, samplesPerSecond: 100, link: dsl }] }
arms: [{ strategy: [bsp, diloco], codec: int8 }, { strategy: [ssp, bsp], sync.staleness: 3 }]
`;

it('the same scenario gives the same bytes in one process and in two; arms that cannot be are told', { timeout: 90_000 }, async () => {
  await writeFile(join(folder, 'small.yaml'), SCENARIO);
  const bench = async (...options: readonly string[]) => {
    const { exitCode, process } = await runCli(['bench', 'small.yaml', '--json', ...options], { cwd: folder });
    expect(exitCode, process.stderr).toBe(0);
    return process.lines.map((line) => JSON.parse(line) as { readonly event: string; readonly kept?: boolean });
  };
  const one = await bench('--jobs', '1', '--out', 'one');
  await bench('--jobs', '2', '--engine', 'wasm');
  const text = readFileSync(join(folder, 'one', 'result.json'), 'utf8');
  expect(readFileSync(join(folder, 'bench/small-virtual/result.json'), 'utf8')).toBe(text);
  const { arms, nodes, winner } = JSON.parse(text) as BenchResult;
  expect(nodes.map(({ name }) => name)).toEqual(['Iris Xe 1', 'Iris Xe 2', 'slow']);
  expect(arms.map(({ name, outcome }) => `${name} ${outcome.status}`)).toEqual(['bsp int8 done', 'diloco int8 done', 'ssp staleness 3 done', 'bsp staleness 3 refused']);
  expect(arms.map(({ name }) => name)).toContain(winner!.arm);
  // The report is drawn when a bench ends, and again from its result alone.
  const page = readFileSync(join(folder, 'one/report.html'), 'utf8');
  expect(page).toContain(`<b>${winner!.arm}</b>`);
  expect(readFileSync(join(folder, 'one/series/loss.csv'), 'utf8')).toContain('bsp int8,');
  // What an earlier report left, and this one has not, is gone; what somebody else put there stays.
  const [stale, foreign] = ['rounds-9-gone.svg', 'mine.svg'].map((name) => join(folder, 'one/charts', name));
  for (const path of [stale!, foreign!]) await writeFile(path, '<svg/>');
  await writeFile(join(folder, 'one/report.html'), `${page}<a href="charts/rounds-9-gone.svg">`);
  expect((await runHere(['bench', 'report', 'one'], folder)).exitCode).toBe(0);
  expect(readFileSync(join(folder, 'one/report.html'), 'utf8')).toBe(page);
  expect([existsSync(stale!), existsSync(foreign!)]).toEqual([false, true]);
  expect(one.filter(({ event }) => event === 'arm').map(({ kept }) => kept)).toEqual([false, false, false, false]);
});

it('an arm whose process is killed has failed, the others go on, and it is tried again by the same command', { timeout: 90_000 }, async () => {
  await writeFile(join(folder, 'small.yaml'), SCENARIO);
  const command = ['bench', 'small.yaml', '--json', '--jobs', '1'];
  const cli = new CliProcess(command, { cwd: folder });
  await cli.line('"event":"arm"');
  const [pool] = cli.processes().filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('arm-process'));
  process.kill(pool!, 'SIGKILL');
  expect(await cli.exit, cli.stderr).toBe(0);
  const outcomes = () => (JSON.parse(readFileSync(join(folder, 'bench/small-virtual/result.json'), 'utf8')) as BenchResult).arms.map(({ outcome }) => outcome);
  const failed = outcomes().filter(({ status }) => status === 'failed');
  expect(failed).toEqual([{ status: 'failed', reason: expect.stringContaining('ended with SIGKILL') }]);
  const again = await runCli(command, { cwd: folder });
  expect(again.exitCode).toBe(0);
  expect(outcomes().map(({ status }) => status)).toEqual(['done', 'done', 'done', 'refused']);
});

it('a scenario that is wrong is refused with line and field', async () => {
  await writeFile(join(folder, 'bad.yaml'), SCENARIO.replace('gpu: Iris Xe', 'gpu: Iris X'));
  const bad = await runHere(['bench', 'bad.yaml'], folder);
  expect(bad.exitCode).toBe(3);
  expect(bad.stderr).toContain('bad.yaml:6:23 fleet.machines[0].gpu: unknown GPU "Iris X"; did you mean "Iris Xe"?');
});

it('a folder that cannot be written to is refused before an arm runs', async () => {
  await writeFile(join(folder, 'small.yaml'), SCENARIO);
  const { exitCode, lines, stderr } = await runHere(['bench', 'small.yaml', '--out', 'points.csv'], folder);
  expect(stderr).toMatch(/^error: Cannot keep results: ENOTDIR[^]*where: points\.csv[^]*hint: /);
  expect(exitCode).toBe(EXIT_CODES.storage);
  expect(lines).toEqual([]);
});

it('live arms train on processes that emulate devices, what this machine cannot emulate is refused, and Ctrl-C leaves nobody behind', { timeout: 90_000 }, async () => {
  const live = (count: number, samples: string) =>
    SCENARIO.replace(/^fleet: .*$/m, `fleet: { machines: [{ samplesPerSecond: ${samples}, overhead: 40ms, link: lan, count: ${count} }] }`).replace(/^arms: .*$/m, 'arms: [{ strategy: bsp, codec: int8 }, { name: again, strategy: asp }]');
  await writeFile(join(folder, 'live.yaml'), live(2, '2000'));
  await writeFile(join(folder, 'fast.yaml'), live(4, '1e9').replace('40ms', '0ms'));
  const cli = new CliProcess(['bench', 'live.yaml', '--mode', 'live'], { cwd: folder });
  const first = await cli.line('1 of 2: bsp int8');
  cli.signal('SIGINT');
  expect(await cli.exit, cli.stderr).toBe(130);
  await cli.nobodyLeft(5000);
  expect(first).toContain('done');
  expect(cli.lines.join()).toContain('the same command goes on from there');
  const refused = await runCli(['bench', 'fast.yaml', '--mode', 'live', '--json'], { cwd: folder });
  expect(refused.exitCode).toBe(EXIT_CODES['no-plan']);
  expect(refused.process.lines.join()).toContain('cores of this machine');
  await writeFile(join(folder, 'line.yaml'), live(2, '2000').replace('link: lan', 'site: flat, link: { class: lan, loss: 0.01 }'));
  const shared = await runCli(['bench', 'line.yaml', '--mode', 'both', '--json'], { cwd: folder });
  expect(shared.exitCode).toBe(EXIT_CODES['no-plan']);
  // Nothing is measured for what cannot be run.
  expect(shared.process.lines.map((line) => (JSON.parse(line) as { readonly event: string }).event)).toEqual(['arm', 'arm', 'bench']);
  expect(shared.process.lines.join()).toContain('machines with site cannot be emulated here: take --mode virtual');
});

it.each(['live', 'both'])('a server that is away ends --mode %s before an arm runs', async (mode) => {
  await writeFile(join(folder, 'small.yaml'), SCENARIO);
  const { exitCode, lines, stderr } = await runHere(['bench', 'small.yaml', '--mode', mode, '--json', '--server', `127.0.0.1:${await freePort()}`], folder);
  expect(stderr).toMatch(/^error: no Longtail server answers at 127\.0\.0\.1:/);
  expect(exitCode).toBe(EXIT_CODES.unreachable);
  expect(lines).toEqual([]);
});

it('calibrate measures the link to the server that it is given, which has to be there', async () => {
  await writeFile(join(folder, 'job.yaml'), 'data: mnist\nmodel: cnn\n');
  const { exitCode, stderr } = await runHere(['bench', 'calibrate', 'job.yaml', '--json', '--server', `127.0.0.1:${await freePort()}`], folder);
  expect(stderr).toMatch(/^error: no Longtail server answers at 127\.0\.0\.1:/);
  expect(exitCode).toBe(EXIT_CODES.unreachable);
});

it('nodes that have joined a server run the arms of a scenario that describes them; of others it says so', { timeout: 90_000 }, async () => {
  const fleet = await Fleet.stand([1, 1]);
  try {
    const scenario = (machines: string) => SCENARIO.replace(/fleet: .*/, `fleet: { machines: [${machines}] }`).replace(/arms: .*/, 'arms: [{ codec: int8 }, { planner: equal }]');
    await writeFile(join(folder, 'theirs.yaml'), scenario('{ name: worker-1, samplesPerSecond: 500 }'));
    await writeFile(join(folder, 'nobody.yaml'), scenario('{ name: worker-1, samplesPerSecond: 500 }, { name: worker-3, samplesPerSecond: 500 }'));
    await writeFile(join(folder, 'ours.yaml'), scenario('{ name: worker-1, samplesPerSecond: 500, link: lan, throttling: { after: 1h, speed: 0.5 } }, { name: worker-2, samplesPerSecond: 500, link: lan }'));
    const bench = async (file: string, ...options: readonly string[]) => {
      const { exitCode, process } = await runCli(['bench', file, '--mode', 'both', '--json', '--server', fleet.address, ...options], { cwd: folder });
      return { exitCode, result: JSON.parse(process.lines.at(-1)!) as BenchResult };
    };
    const { exitCode, result } = await bench('ours.yaml');
    expect(exitCode).toBe(0);
    const outcomes = result.arms.map(({ outcome }) => outcome);
    expect(outcomes[0]).toMatchObject({ status: 'done', summary: { samples: 180 } });
    expect(outcomes[1]).toMatchObject({ status: 'refused', reason: expect.stringContaining('planner equal') as unknown });
    expect(result.predicted!.map(({ outcome }) => outcome.status)).toEqual(['done', 'done']);
    const refusals = await Promise.all(['theirs.yaml', 'nobody.yaml'].map((file) => bench(file)));
    expect(refusals.map((one) => [one.exitCode, (one.result.arms[0]!.outcome as { readonly reason: string }).reason])).toEqual([
      [EXIT_CODES['no-plan'], 'nodes that are no machines of the scenario have joined too, and would compute with them: worker-2'],
      [EXIT_CODES['no-plan'], 'no node called worker-3 has joined (there are: worker-1, worker-2)'],
    ]);
    expect((await runHere(['bench', 'ours.yaml', '--server', fleet.address], folder)).exitCode).toBe(EXIT_CODES.usage);
  } finally {
    await fleet.down();
  }
});
