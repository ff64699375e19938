import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { standingEvents, type StoredEvent } from '@longtail/core';
import { listRuns, readEvents, RUN_FILES } from '@longtail/store';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CliProcess, runCli } from './cli-process.js';
import { jobFolder, smallJob } from './jobs.js';

const ROUNDS = 240;

let folder: string;
let started: CliProcess[];
beforeEach(async () => {
  folder = await jobFolder(smallJob({ rounds: ROUNDS }));
  started = [];
});
afterEach(async () => {
  started.forEach((process) => process.killAll());
  await rm(folder, { recursive: true });
});

function start(...args: string[]): CliProcess {
  const process = new CliProcess([...args, '--json'], { cwd: folder, env: { LONGTAIL_STATE: join(folder, 'state') } });
  started.push(process);
  return process;
}

async function log(runs: string): Promise<readonly StoredEvent[]> {
  const [run] = await listRuns(join(folder, runs));
  return readEvents(join(run!.path, RUN_FILES.events));
}

it('a standby takes over from a server that is killed, with every round that was committed', { timeout: 90_000 }, async () => {
  const primary = start('up', '--port', '0', '--runs', 'first', '--state', 'one');
  const address = await primary.listening();
  const standby = start('up', '--port', '0', '--runs', 'second', '--state', 'two', '--standby-of', address);
  await standby.line('"following"');
  for (const name of ['one', 'two']) await start('join', address, '--engine', 'wasm', '--name', name, '--throttle', '0.3').line('"joined"');
  const { process: nodes } = await runCli(['nodes', '--server', address, '--json'], { cwd: folder });
  expect(nodes.events.at(-1)).toMatchObject({ event: 'standby', state: 'in step' });
  const client = start('launch', 'job.yaml', '--server', address);
  await client.line('"in step"');
  await client.line(`"version":${ROUNDS / 12}`);
  primary.killAll();
  await client.line('"taken_over"');
  expect(await client.exit, client.stderr).toBe(0);

  const events = client.events;
  expect(events.find(({ event }) => event === 'taken_over')).toMatchObject({ from: address, epoch: 2, roundsLost: 0 });
  expect(events.find(({ event }) => event === 'resumed')).toMatchObject({ undone: { commits: 0 } });
  expect(client.verdict).toMatchObject({ status: 'succeeded', samples: { applied: ROUNDS * 128, lost: 0 } });
  // Whatever the first server wrote down of commits stands, word for word.
  const [before, after] = [await log('first'), await log('second')];
  const commits = before.filter(({ body }) => body.event === 'commit');
  expect(commits.length).toBeGreaterThanOrEqual(ROUNDS / 12);
  expect(after.slice(0, commits.at(-1)!.seq).filter(({ body }) => body.event === 'commit').map(({ body }) => body)).toEqual(commits.map(({ body }) => body));
  const applied = standingEvents(after).reduce((sum, { body }) => sum + (body.event === 'commit' ? body.samples : 0), 0);
  expect([applied, client.lines.length]).toEqual([ROUNDS * 128, after.length]);
  expect((await listRuns(join(folder, 'second')))[0]!.verdict?.model).toContain(join(folder, 'second'));

  // Who was succeeded does not go on.
  const again = start('up', '--port', address.split(':')[1]!, '--runs', 'first', '--state', 'one');
  expect(await again.exit).toBe(6);
  expect(again.stderr).toMatch(/has taken over from this server[^]*--standby-of/);
});
