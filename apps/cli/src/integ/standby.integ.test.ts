import { readFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseJoinToken, requestCertificate, type Credentials } from '@longtail/access';
import { standingEvents, type StoredEvent } from '@longtail/core';
import { replayRun } from '@longtail/parameter-server';
import { listRuns, readEvents, RUN_FILES } from '@longtail/store';
import { connectClient, enrol, type ClientCredentials } from '@longtail/transport';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CliProcess } from './cli-process.js';
import { jobFolder, smallJob } from './jobs.js';

const ROUNDS = 160;
/** The server is struck after so many. */
const STRUCK_AFTER = 20;
const { signal } = new AbortController();

let folder: string;
let started: CliProcess[];
beforeEach(async () => {
  folder = await jobFolder(`${smallJob({ rounds: ROUNDS })}record: { maxBytes: 200MB }\n`);
  started = [];
});
afterEach(async () => {
  started.forEach((process) => process.killAll());
  await rm(folder, { recursive: true });
});

/** A command on somebody's machine: its state is apart from the others'. */
function on(machine: string, ...args: string[]): CliProcess {
  const process = new CliProcess([...args, '--json'], { cwd: folder, env: { LONGTAIL_STATE: join(folder, machine) } });
  started.push(process);
  return process;
}

/** Somebody who enrols, with nothing else to do. */
async function enrolAt(address: string, token: string): Promise<ClientCredentials & { readonly id: string }> {
  const { id, secret, authority: fingerprint } = parseJoinToken(token);
  const { request, privateKey } = await requestCertificate();
  const { authority, reply } = await enrol(address, { fingerprint, token: id, secret, request, name: 'somebody' }, signal);
  return { id: reply.identity, authority, certificate: reply.certificate, privateKey };
}

/** Each server has recorded its part; both together make the bits of the run. */
async function expectReplayed(from: string): Promise<void> {
  const [[before], [after]] = await Promise.all(['first', 'second'].map((runs) => listRuns(join(folder, runs))));
  const { version: taken } = (await log('second')).flatMap(({ body }) => (body.event === 'taken_over' ? [body] : []))[0]!;
  const own = await replayRun(after!.path);
  expect(own).toMatchObject({ result: 'incomplete', checked: [{ after: taken, upTo: own.version }], missing: { message: `Version 1 was recorded by ${from}.` } });
  await cp(join(before!.path, RUN_FILES.recording), join(after!.path, RUN_FILES.recording), { recursive: true });
  const both = await replayRun(after!.path);
  // What was being written as the server died is not there.
  const gap = { result: 'incomplete', checked: [{ after: 0 }, { after: taken }], missing: { message: expect.stringMatching(`^What ${from} recorded ends with version \\d+`) } };
  expect(both).toMatchObject(both.checked.length > 1 ? gap : { result: 'agree', checked: [{ after: 0, upTo: own.version }] });
  expect(both.kept.map(({ agrees }) => agrees)).not.toContain(false);
}

async function log(runs: string): Promise<readonly StoredEvent[]> {
  const [run] = await listRuns(join(folder, runs));
  return readEvents(join(run!.path, RUN_FILES.events));
}

it('a standby takes over from a server that is killed, with every round that was committed and all who were let in', { timeout: 90_000 }, async () => {
  const primary = on('home', 'up', '--tls', '--port', '0', '--runs', 'first');
  const address = await primary.listening();
  const ownerFile = join(folder, 'home', 'identities', address.replace(':', '_'), 'client.json');
  const owner = await connectClient(address, signal, JSON.parse(readFileSync(ownerFile, 'utf8')) as Credentials);
  const tokenFor = async (role: string, uses = 1): Promise<string> => (await owner.createToken({ role, validMs: 3_600_000, uses }, signal)).token;

  const [asThief, asViewer, asStandby] = [await tokenFor('node'), await tokenFor('viewer'), await tokenFor('standby')];
  const thief = await enrolAt(address, asThief);
  const wrong = on('attic', 'up', '--port', '0', '--runs', 'third', '--standby-of', address, '--token', asThief);
  const stranger = on('street', 'up', '--port', '0', '--runs', 'third', '--standby-of', address);
  const standby = on('attic', 'up', '--port', '0', '--runs', 'second', '--standby-of', address, '--token', asStandby);
  await standby.line('"following"');
  expect([await wrong.exit, wrong.stderr]).toEqual([2, expect.stringMatching(/the token is for the role node[^]*--role standby/)]);
  expect([await stranger.exit, stranger.stderr]).toEqual([6, expect.stringMatching(/only who has enrolled[^]*hint:.*token create/)]);

  // All of this comes after the standby has been told who is in.
  const late = await enrolAt(address, asViewer);
  const [asNode, asEngineer] = [await tokenFor('node', 2), await tokenFor('engineer')];
  const workers = ['desk', 'office'].map((name) => on(name, 'join', address, '--token', asNode, '--engine', 'wasm', '--name', name, '--throttle', '0.3'));
  await Promise.all(workers.map((worker) => worker.line('"joined"')));
  // Whoever shuts somebody out while the standby is away hears that it does not know; it is told when it is back.
  const { standbyAddress } = await owner.getServer(signal);
  standby.signal('SIGSTOP');
  expect(await owner.revoke({ token: '', identity: thief.id, enrolled: false }, signal)).toEqual({ identities: [thief.id], unaware: standbyAddress });
  standby.signal('SIGCONT');
  await expect.poll(async () => (await owner.getServer(signal)).standbyState, { timeout: 30_000 }).toBe('in step');
  const { id: unused } = await owner.createToken({ role: 'viewer', validMs: 3_600_000, uses: 1 }, signal);
  expect((await owner.revoke({ token: unused, identity: '', enrolled: false }, signal)).unaware).toBe('');
  const client = on('study', 'launch', 'job.yaml', '--server', address, '--token', asEngineer);
  await client.line('"in step"');
  await client.line(`"version":${STRUCK_AFTER}`);
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
  expect(commits.length).toBeGreaterThanOrEqual(STRUCK_AFTER);
  expect(after.slice(0, commits.at(-1)!.seq).filter(({ body }) => body.event === 'commit').map(({ body }) => body)).toEqual(commits.map(({ body }) => body));
  const applied = standingEvents(after).reduce((sum, { body }) => sum + (body.event === 'commit' ? body.samples : 0), 0);
  expect([applied, client.lines.length]).toEqual([ROUNDS * 128, after.length]);
  expect((await listRuns(join(folder, 'second')))[0]!.verdict?.model).toContain(join(folder, 'second'));

  await expectReplayed(address);

  // Who was in is in, who was shut out stays out, what was used up stays so.
  const taken = await standby.listening();
  const { nodes } = await (await connectClient(taken, signal, late)).listNodes(signal);
  expect(nodes.map(({ name }) => name).sort()).toEqual(['desk', 'office']);
  await expect(connectClient(taken, signal, thief)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('revoked') });
  for (const token of [asThief, asStandby, asNode, asEngineer]) await expect(enrolAt(taken, token)).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining('used up') });
  const runs = on('study', 'runs', '--server', taken);
  expect([await runs.exit, runs.stderr]).toEqual([0, '']);

  // Who was succeeded does not go on.
  const again = on('home', 'up', '--tls', '--port', address.split(':')[1]!, '--runs', 'first');
  expect(await again.exit).toBe(6);
  expect(again.stderr).toMatch(/has taken over from this server[^]*--standby-of .* --token -/);
});

async function freeze(primary: CliProcess, standby: CliProcess): Promise<void> {
  primary.signal('SIGSTOP');
  await standby.listening();
  primary.signal('SIGCONT');
}

async function order(_primary: CliProcess, _standby: CliProcess, address: string): Promise<void> {
  const ordered = on('study', 'take-over', address, '--force');
  expect(await ordered.exit, ordered.stderr).toBe(0);
  expect(ordered.events).toEqual([{ event: 'taken_over', address, epoch: 2 }]);
}

it.each([
  ['that stands still, and wakes up', freeze],
  ['that is there, as somebody orders it', order],
])('a standby takes over from a server %s, which commits nothing and steps down', { timeout: 90_000 }, async (_, strike) => {
  const primary = on('home', 'up', '--port', '0', '--runs', 'first');
  const address = await primary.listening();
  const standby = on('attic', 'up', '--port', '0', '--runs', 'second', '--standby-of', address);
  const workers = ['desk', 'office'].map((name) => on(name, 'join', address, '--engine', 'wasm', '--name', name, '--throttle', '0.3'));
  await standby.line('"following"');
  const { standbyAddress } = (await connectClient(address, signal)).server;
  const early = on('study', 'take-over', standbyAddress);
  expect([await early.exit, early.stderr]).toEqual([6, expect.stringMatching(/its server, .*, is there[^]*--force/)]);
  await Promise.all(workers.map((worker) => worker.line('"joined"')));
  const client = on('study', 'launch', 'job.yaml', '--server', address);
  await client.line('"in step"');
  await client.line(`"version":${STRUCK_AFTER}`);
  await strike(primary, standby, standbyAddress);
  expect(await primary.exit).toBe(6);
  expect(primary.stderr).toMatch(/has taken over from this server[^]*--standby-of/);
  expect(await client.exit, client.stderr).toBe(0);

  expect(client.events.find(({ event }) => event === 'taken_over')).toMatchObject({ from: address, epoch: 2, roundsLost: 0 });
  expect(client.verdict).toMatchObject({ status: 'succeeded', samples: { applied: ROUNDS * 128, lost: 0 } });
  // What it was at when it woke up counts for nothing, and it says nothing of it.
  const [before, after] = [await log('first'), await log('second')];
  const commits = before.filter(({ body }) => body.event === 'commit');
  expect(after.slice(0, commits.at(-1)!.seq).filter(({ body }) => body.event === 'commit').map(({ body }) => body)).toEqual(commits.map(({ body }) => body));
  const applied = standingEvents(after).reduce((sum, { body }) => sum + (body.event === 'commit' ? body.samples : 0), 0);
  expect([applied, client.lines.length]).toEqual([ROUNDS * 128, after.length]);
});
