import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plan, SyncChoice } from '@longtail/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CliProcess, runCli } from './cli-process.js';
import { jobFolder, smallJob } from './jobs.js';
import { runHere } from './run-here.js';

const FRIENDS = fileURLToPath(new URL('../../../../examples/fleets/friends.yaml', import.meta.url));

let folder: string;
let started: CliProcess[];
beforeEach(async () => {
  folder = await jobFolder(smallJob());
  started = [];
});
afterEach(async () => {
  started.forEach((process) => process.killAll());
  await rm(folder, { recursive: true });
});

const plan = (...args: readonly string[]) => runHere(['plan', 'job.yaml', ...args], folder);

describe('plan --fleet', { timeout: 30_000 }, () => {
  it('prints a plan for people, and with --json the whole of it', async () => {
    const people = await plan('--fleet', FRIENDS);
    expect(people.exitCode).toBe(0);
    expect(people.lines.join('\n')).toMatch(
      /samples\/s, a step of .* samples[^]*group +blocks +device[^]*holds the whole model[^]*note: speeds are priors/,
    );
    const machine = await plan('--fleet', FRIENDS, '--json');
    const { groups, leftOut, samplesPerSecond } = JSON.parse(machine.lines[0]!) as Plan;
    expect(samplesPerSecond).toBeGreaterThan(0);
    const used = groups.flatMap(({ stages }) => stages.flatMap(({ devices }) => devices));
    expect(used.length + leftOut.length).toBe(5);
  });

  it('says what sync: auto would choose for its machines, and plans for that', async () => {
    await writeFile(join(folder, 'job.yaml'), `${smallJob()}sync: auto\n`);
    const { lines } = await plan('--fleet', FRIENDS, '--json');
    const { sync, stepsPerRound, bytesUpPerRound } = JSON.parse(lines[0]!) as Plan & { readonly sync: SyncChoice };
    expect(sync).toMatchObject({ strategy: 'sparse-diloco', codec: 'top-k' });
    expect(sync.reason).toMatch(/^sparse-diloco, H = \d+, top-k, batches of \d+: one exchange of .* would wait /);
    expect(stepsPerRound).toBe(sync.localSteps);
    expect(bytesUpPerRound).toBeLessThan(10_000);
    const people = await plan('--fleet', FRIENDS);
    expect(people.lines.at(-1)).toBe(`sync: ${sync.reason}`);
  });

  it.each([
    [
      'an unknown GPU',
      'machines: [{gpu: RTX 4900}]',
      3,
      /fleet\.yaml:1:13 machines\[0\]\.gpu: unknown GPU "RTX 4900"; did you mean "RTX 4090"\?/,
    ],
    [
      'a negative rate',
      'machines: [{gpu: M1, link: {up: -1}}]',
      3,
      /machines\[0\]\.link\.up: must be a rate above 0, like 20Mbit or 1Gbit, found -1/,
    ],
    [
      'devices without room',
      'machines: [{gpu: M1, memory: 100MB}]',
      10,
      /no plan: block \S+ of .* needs 512 MiB on one device \(512 MiB of it for the engine\), and the roomiest, M1 \(m1\), offers 95\.4 MiB\nhint: +add one 2 GiB device/,
    ],
  ])('%s', async (_name, text, exitCode, message) => {
    await writeFile(join(folder, 'fleet.yaml'), text);
    const result = await plan('--fleet', 'fleet.yaml');
    expect(result.stderr).toMatch(message);
    expect(result.exitCode).toBe(exitCode);
  });

  it("a job's own layout is planned as it is, interleaved or not, and one that does not suit the machines is refused in a sentence", async () => {
    const layout = async (cluster: string) => {
      await writeFile(join(folder, 'job.yaml'), `${smallJob({ hidden: '32, 32, 32' })}cluster: { ${cluster} }\n`);
      return plan('--fleet', FRIENDS, '--json');
    };
    const turns = await layout('schedule: interleaved, layout: [[{worker: Ben, blocks: 1}, {worker: Cleo, blocks: 1}, {worker: Ben, blocks: 1}, {worker: Cleo, blocks: 1}]]');
    expect(turns.stderr).toBe('');
    const { groups, method } = JSON.parse(turns.lines[0]!) as Plan;
    expect(method).toBe('given');
    expect(groups[0]).toMatchObject({ schedule: 'interleaved' });
    expect(groups[0]!.stages.map(({ devices }) => devices.map(({ name }) => name))).toEqual([['Ben'], ['Cleo'], ['Ben'], ['Cleo']]);
    const stranger = await layout('layout: [[{worker: Ben, blocks: 2}, {worker: Zoe, blocks: 2}]]');
    expect(stranger.exitCode).toBe(10);
    expect(stranger.stderr).toMatch(/own layout: it lacks worker Zoe: there are Ada, Ben, Cleo, Dan, Eve/);
    const short = await layout('layout: [[{worker: Ben, blocks: 1}, {worker: Cleo, blocks: 1}]]');
    expect(short.stderr).toMatch(/the stages of Ben \+ Cleo have 2 blocks, .* has 4[^]*hint: +Let the stages/);
  });

  it('a fleet file that is not there', async () => {
    const result = await plan('--fleet', 'none.yaml');
    expect(result.stderr).toMatch(/The fleet file none\.yaml does not exist/);
    expect(result.exitCode).toBe(4);
  });
});

describe('plan --server', { timeout: 60_000 }, () => {
  it('plans with what workers and their links were measured to be', async () => {
    const up = new CliProcess(['up', '--port', '0', '--json'], { cwd: folder });
    started.push(up);
    const address = await up.listening();
    const empty = await plan('--server', address);
    expect(empty.stderr).toMatch(/no worker has joined[^]*longtail join/);
    expect(empty.exitCode).toBe(10);
    const join = new CliProcess(['join', address, '--engine', 'wasm', '--name', 'ada'], { cwd: folder });
    started.push(join);
    await join.line('there and back');
    const result = await runCli(['plan', 'job.yaml', '--server', address], { cwd: folder });
    started.push(result.process);
    expect(result.process.stderr).toBe('');
    expect(result.process.lines.join('\n')).toMatch(/1 solo worker[^]*ada/);
    expect(result.process.lines.join('\n')).not.toContain('assumed');
  });
});
