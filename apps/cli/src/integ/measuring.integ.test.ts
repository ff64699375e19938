import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlockTiming, Plan, RunEvent } from '@longtail/core';
import type { NodeRow } from '@longtail/protocol';
import { parseScenarioFile } from '@longtail/spec';
import { afterEach, expect, it } from 'vitest';
import { CliProcess, runCli } from './cli-process.js';
import { jobFolder, smallJob } from './jobs.js';

const job = `${smallJob({ rounds: 4 })}
cluster:
  layout: [[{ worker: whole, blocks: 1 }, { worker: quarter, blocks: 1 }]]
`;

let folder: string;
const started: CliProcess[] = [];
afterEach(async () => {
  started.forEach((process) => process.killAll());
  await rm(folder, { recursive: true });
});

it('measures links as workers join, and blocks and direct links before a pipeline is laid out', { timeout: 90_000 }, async () => {
  folder = await jobFolder(job);
  // A cache of its own: the first worker must measure.
  const settings = { cwd: folder, env: { XDG_CACHE_HOME: join(folder, 'cache') } };
  const start = (...args: string[]) => {
    const process = new CliProcess(args, settings);
    started.push(process);
    return process;
  };
  const up = start('up', '--port', '0', '--json');
  const address = await up.listening();
  const workers = [start('join', address, '--engine', 'wasm', '--name', 'whole', '--throttle', '0.8'), start('join', address, '--engine', 'wasm', '--name', 'quarter', '--throttle', '0.2')];
  await Promise.all(workers.map((worker) => worker.line('there and back')));

  const { process: calibrated } = await runCli(['bench', 'calibrate', 'job.yaml', '--server', address, '--engine', 'cpu'], settings);
  started.push(calibrated);
  const machine = calibrated.lines.at(-1)!;
  const given = `job: job.yaml\nfleet:\n  machines:\n  ${machine}\narms: [{ strategy: bsp }]\n`;
  const [described] = parseScenarioFile(given, 'calibrated.yaml', { resolve: (path) => path, read: () => job }).fleet.machines;
  expect(described!.samplesPerSecond, calibrated.stderr).toBeGreaterThan(0);
  for (const rate of [described!.link.up, described!.link.down]) expect(rate, machine).toBeGreaterThan(1e6);

  const launched = await runCli(['launch', 'job.yaml', '--server', address, '--json'], settings);
  started.push(launched.process);
  expect(launched.process.verdict, launched.process.stderr).toMatchObject({ status: 'succeeded', samples: { applied: 4 * 128, lost: 0 } });
  const events = launched.process.events;
  const order = events.map(({ event }) => event);
  expect(order.lastIndexOf('profiled')).toBeLessThan(order.indexOf('planned'));

  const of = <Name extends RunEvent['event']>(name: Name) => events.filter((event): event is Extract<RunEvent, { event: Name }> => event.event === name);
  const profiled = of('profiled');
  expect(profiled.map(({ cached }) => cached), 'workers of one host measure once').toEqual([false, true]);
  const [whole, quarter] = ['whole', 'quarter'].map((name) => profiled.find((event) => event.name === name)!.blocks);
  expect(whole!.map(({ block, microbatch }) => `${block} ${microbatch}`)).toEqual(['hidden0', 'output'].flatMap((block) => [1, 4, 16].map((size) => `${block} ${size}`)));
  const took = ({ forwardMs, backwardMs }: BlockTiming) => forwardMs + backwardMs;
  quarter!.forEach((timing, i) => expect(took(timing) / took(whole![i]!)).toBeCloseTo(4, 6));
  const [{ links } = { links: [] }] = of('peer_links');
  expect(links).toHaveLength(1);
  expect(links[0]!.bitsPerSecond).toBeGreaterThan(1e6);

  const { process } = await runCli(['nodes', '--server', address, '--json'], settings);
  started.push(process);
  for (const row of process.lines.map((line) => JSON.parse(line) as NodeRow)) {
    expect(row.link.upBitsPerSecond).toBeGreaterThan(1e6);
    expect(row.link.downBitsPerSecond).toBeGreaterThan(1e6);
    expect(row.link.roundTripMs).toBeGreaterThan(0);
    expect(row).toMatchObject({ profiledJob: 'job', blocks: row.name === 'whole' ? whole : quarter });
  }
  const table = await runCli(['nodes', '--server', address], settings);
  started.push(table.process);
  expect(table.process.lines.find((line) => line.includes(' whole '))).toMatch(/ 2 of job: [\d.]+ m?s × 16 /);

  const asked = await runCli(['plan', 'job.yaml', '--server', address, '--json'], settings);
  started.push(asked.process);
  const passes = ({ groups }: Plan) => groups[0]!.stages.map(({ timing }) => [timing.forwardMs, timing.backwardMs]);
  const { notes, ...plan } = JSON.parse(asked.process.lines[0]!) as Plan;
  expect(passes({ ...plan, notes }), 'by the times that launch went by').toEqual(passes(of('planned')[0]!.plan));
  expect(notes.join()).not.toContain('GFLOP/s');
});
