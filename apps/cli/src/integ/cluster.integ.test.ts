import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CliProcess } from './cli-process.js';
import { jobFolder, smallJob } from './jobs.js';
import { runHere } from './run-here.js';

let folder: string;
let started: CliProcess[];
beforeEach(async () => {
  folder = await jobFolder(smallJob({ rounds: 20 }));
  started = [];
});
afterEach(async () => {
  started.forEach((process) => process.killAll());
  await rm(folder, { recursive: true });
});

function start(...args: string[]): CliProcess {
  const process = new CliProcess(args, { cwd: folder });
  started.push(process);
  return process;
}

async function output(...args: string[]): Promise<readonly string[]> {
  const { exitCode, lines, stderr } = await runHere(args, folder);
  expect(exitCode, stderr).toBe(0);
  return lines;
}

it(
  'serves a session of its three users: a server, a worker that joins, a job launched, looked at, with nothing to explain, and exported',
  { timeout: 90_000 },
  async () => {
    const up = start('up', '--port', '0', '--json');
    const address = await up.listening();

    const join1 = start('join', address, '--engine', 'wasm', '--name', 'lent', '--throttle', '0.5');
    expect(await join1.line('wasm at pace 0.5')).toContain('wasm was asked for');
    await join1.line(`joined ${address} as`);

    const [node] = await output('nodes', '--server', address, '--json');
    expect(JSON.parse(node!)).toMatchObject({ event: 'node', name: 'lent', device: { engine: 'wasm', throttle: 0.5 } });

    const launching = start('launch', 'job.yaml', '--server', address, '--json');
    expect(await launching.exit, launching.stderr).toBe(0);
    const launched = launching.lines;
    const verdict = JSON.parse(launched.at(-1)!) as { run: string; status: string; model: string };
    expect(verdict).toMatchObject({ event: 'verdict', status: 'succeeded', samples: { applied: 20 * 128, lost: 0 } });
    await join1.line('is over');

    const [job] = await output('jobs', '--server', address, '--json');
    expect(JSON.parse(job!)).toMatchObject({ event: 'job', run: verdict.run, name: 'job', status: 'succeeded' });
    const [listed] = await output('runs', '--server', address, '--json');
    expect(JSON.parse(listed!)).toMatchObject({ event: 'run', run: verdict.run, model: 'mlp', status: 'succeeded', samples: 20 * 128 });
    const told = await output('logs', verdict.run);
    expect(told.join('\n')).toMatch(/lent is ready: wasm[^]*validation after/);
    expect((await output('logs', verdict.run, '--follow', '--server', address, '--json')).length).toBe(launched.length);

    // Nothing was planned, and nothing exchanged.
    const unplanned = await runHere(['explain', verdict.run], folder);
    expect([unplanned.exitCode, unplanned.stderr]).toEqual([2, expect.stringMatching(/has no plan: every worker held the whole model[^]*hint: .*report\.html/)]);
    const unknown = await runHere(['explain', 'nowhere'], folder);
    expect([unknown.exitCode, unknown.stderr]).toEqual([4, expect.stringMatching(/There is no run nowhere in [^]*hint: /)]);

    const [exported] = await output('export', verdict.run, '--output', 'taken/digits.safetensors');
    expect(exported).toBe(join(folder, 'taken', 'digits.safetensors'));
    expect(await readFile(exported!)).toEqual(await readFile(verdict.model));
    expect(JSON.parse(await readFile(join(folder, 'taken/digits.json'), 'utf8'))).toMatchObject({ run: verdict.run, file: 'digits.safetensors' });
    const below = await runHere(['export', verdict.run, '--output', join(exported!, 'model.safetensors')], folder);
    expect([below.exitCode, below.stderr]).toEqual([7, expect.stringMatching(/Cannot write the model: it is a file[^]*hint: /)]);

    join1.signal('SIGINT');
    expect(await join1.exit).toBe(0);
    expect(join1.lines.at(-1)).toMatch(/^left after 2\.56k samples$/);
    expect((await output('nodes', '--all', '--server', address)).join('\n')).toMatch(/no worker has joined[^]*gone[^]*lent +wasm/);
    const [gone] = await output('nodes', '--all', '--server', address, '--json');
    expect(JSON.parse(gone!)).toMatchObject({ event: 'node_gone', name: 'lent', engine: 'wasm' });
    up.signal('SIGINT');
    expect(await up.exit).toBe(0);
    for (const process of [up, join1]) expect(process.processes()).toEqual([]);
  },
);

it('cancels a run from another terminal, and keeps what it learnt', { timeout: 90_000 }, async () => {
  await rm(join(folder, 'job.yaml'));
  folder = await jobFolder(smallJob({ rounds: 100_000 }));
  const up = start('up', '--port', '0', '--json');
  const address = await up.listening();
  start('join', address, '--engine', 'wasm', '--throttle', '0.1');
  const [run] = await output('launch', 'job.yaml', '--server', address, '--detach');
  const follower = start('logs', run!, '--follow', '--server', address, '--json');
  await follower.line('"event":"commit"');
  expect(await output('cancel', run!, '--server', address)).toEqual([`${run}: cancelling`]);
  expect(await follower.exit).toBe(0);
  expect(follower.verdict).toMatchObject({ event: 'verdict', status: 'cancelled' });
  expect(existsSync(follower.verdict.model)).toBe(true);
});
