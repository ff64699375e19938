import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CliProcess } from './cli-process.js';
import { jobFolder, smallJob } from './jobs.js';
import { runHere } from './run-here.js';

let folder: string;
let started: CliProcess[];
beforeEach(async () => {
  folder = await jobFolder(smallJob({ rounds: 100_000 }));
  started = [];
});
afterEach(async () => {
  started.forEach((process) => process.killAll());
  await rm(folder, { recursive: true });
});

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): CliProcess {
  const process = new CliProcess(args, { cwd: folder, env });
  started.push(process);
  return process;
}

async function output(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<readonly string[]> {
  const { exitCode, lines, stderr } = await runHere(args, folder, env);
  expect(exitCode, stderr).toBe(0);
  return lines;
}

/** A desktop that nobody has used for so long. */
async function idleFor(ms: number): Promise<Readonly<Record<string, string>>> {
  const bin = join(folder, 'bin');
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, 'xprintidle'), `#!/bin/sh\necho ${ms}\n`);
  await chmod(join(bin, 'xprintidle'), 0o755);
  return { PATH: `${bin}:${process.env.PATH}`, DISPLAY: ':0', DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nowhere' };
}

it('lets nodes rest by their owner’s word, limits and a client’s order, stand still and come back, and leave gracefully', { timeout: 60_000 }, async () => {
  const address = await start(['up', '--port', '0', '--heartbeat', '1s', '--json']).listening();
  const mine = { LONGTAIL_STATE: join(folder, 'mine') };
  const [lent, other] = ['lent', 'other'].map((name) => start(['join', address, '--name', name, '--engine', 'wasm', '--share', '10%'], name === 'lent' ? mine : { LONGTAIL_STATE: join(folder, name) })) as [CliProcess, CliProcess];
  await writeFile(join(folder, 'node.yaml'), 'onlyIdle: 1min\n');
  const busy = start(['join', address, '--name', 'busy', '--engine', 'wasm', '--limits', 'node.yaml'], await idleFor(1000));
  await busy.line('works when nobody has used the machine for 1 min 0 s (xprintidle');
  await busy.line('paused: somebody uses the machine');
  await Promise.all([lent, other, busy].map((worker) => worker.line('joined')));

  const [run] = await output(['launch', 'job.yaml', '--server', address, '--detach']);
  const follower = start(['logs', run!, '--follow', '--server', address, '--json']);
  await Promise.all([lent, other].map((worker) => worker.line('ready: ')));
  const rows = (await output(['nodes', '--server', address, '--json'])).map((line) => JSON.parse(line) as { name: string; state: string; paused: string });
  expect(rows.find(({ name }) => name === 'busy')).toMatchObject({ state: 'paused', paused: expect.stringContaining('somebody uses the machine') });

  expect(await output(['pause', '--reason', 'a film'], mine)).toEqual([`lent at ${address}: paused, a film`]);
  expect(JSON.parse(await follower.line('"name":"lent","reason":"a film"'))).toMatchObject({ event: 'node_paused' });
  await lent.line('is over here: a film');
  expect(await output(['unpause'], mine)).toEqual([`lent at ${address}: works`]);
  await lent.line('works again');
  expect(JSON.parse(await follower.line('"event":"node_resumed"'))).toMatchObject({ name: 'lent' });

  lent.signalAll('SIGSTOP');
  const gone = await follower.line('silent for 3 heartbeats (3000 ms)');
  lent.signalAll('SIGCONT');
  const back = await follower.line('"event":"node_joined"', gone);
  const { event, name, node } = JSON.parse(gone) as { event: string; name: string; node: string };
  expect([event, name, JSON.parse(back)]).toMatchObject(['node_left', 'lent', { name, node }]);
  expect(JSON.parse(await follower.line('"event":"worker_ready"', back))).toMatchObject({ node });

  const [paused] = await output(['pause', 'other', '--server', address, '--reason', 'moving house', '--json']);
  expect(JSON.parse(paused!)).toMatchObject({ name: 'other', paused: 'moving house' });
  await other.line('is over here: moving house');
  const drained = await output(['drain', 'other', '--server', address, '--json']);
  expect(JSON.parse(drained.at(-1)!)).toMatchObject({ event: 'drain', state: 'left', others: 1 });
  expect(await other.exit).toBe(0);
  expect(other.lines).toContain('left: a client drains it');

  lent.signal('SIGINT');
  expect(await lent.exit).toBe(0);
  const left = await follower.line('"event":"node_left","node":', await follower.line('"reason":"a client drains it"'));
  expect(JSON.parse(left)).toMatchObject({ name: 'lent', reason: 'the worker was stopped' });
  // What it did not step is handed back for whoever comes.
  expect(JSON.parse(await follower.line('"event":"waiting"', left))).toMatchObject({ event: 'waiting', reason: expect.stringContaining('busy is paused: somebody uses the machine') });
});

it.each([
  [['--hours', 'at night'], /It must be hours like 22:00-07:00/],
  [['--limits', 'none.yaml'], /the limits of this node cannot be read[^]*none\.yaml/],
])('join %j is refused', async (args, problem) => {
  const { exitCode, stderr } = await runHere(['join', '127.0.0.1:1', ...args], folder);
  expect(exitCode).not.toBe(0);
  expect(stderr).toMatch(problem);
});
