import { mkdirSync, watch } from 'node:fs';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { standingEvents, type RecordedChunk, type RunEvent, type StoredEvent, type Verdict } from '@longtail/core';
import { createKernels } from '@longtail/kernels';
import { replayRun, type ReplayReport } from '@longtail/parameter-server';
import { checkpointFolder, listRuns, readEvents, readRecording, recordingFolder, RUN_FILES } from '@longtail/store';
import { startPostgres, startS3Server } from '@longtail/testing';
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest';
import { CliProcess, runCli } from './cli-process.js';
import { freePort } from './free-port.js';
import { jobFolder, smallJob } from './jobs.js';

const ROUNDS = 160;
/** Of the validation, when nothing befalls the run. */
const LOSS = 0.4083;

let folder: string;
let port: number;
let started: CliProcess[];
let env: Record<string, string>;
beforeEach(async () => {
  folder = await jobFolder(`${smallJob({ rounds: ROUNDS })}checkpoint: { every: 100ms, keep: 3 }\nrecord: { maxBytes: 200MB }\n`);
  port = await freePort();
  started = [];
  env = {};
});
afterEach(async () => {
  started.forEach((process) => process.killAll());
  await rm(folder, { recursive: true });
});

function start(...args: string[]): CliProcess {
  const process = new CliProcess(args, { cwd: folder, env });
  started.push(process);
  return process;
}

async function up(): Promise<CliProcess> {
  const server = start('up', '--port', String(port), '--json');
  await server.listening();
  return server;
}

/** The job of a user whose server, this one, is at `port`. */
const here = (...args: string[]): string[] => [...args, '--server', `127.0.0.1:${port}`, '--json'];

async function join1(name: string, throttle = '0.1'): Promise<CliProcess> {
  const worker = start('join', `127.0.0.1:${port}`, '--engine', 'wasm', '--name', name, '--throttle', throttle, '--json');
  await worker.line('"joined"');
  return worker;
}

async function log(): Promise<readonly StoredEvent[]> {
  const [run] = await listRuns(join(folder, 'runs'));
  return readEvents(join(run!.path, RUN_FILES.events));
}

function sum(events: readonly StoredEvent[], samplesOf: (event: RunEvent) => number): number {
  return events.reduce((total, { body }) => total + samplesOf(body), 0);
}

/** What stands of the log is what the verdict says, and nothing was lost. */
async function expectAddedUp(verdict: Verdict): Promise<void> {
  const events = standingEvents(await log());
  const { applied } = verdict.samples;
  expect(verdict.samples).toEqual({ applied: ROUNDS * 128, lost: 0 });
  expect(sum(events, (event) => (event.event === 'commit' ? event.samples : 0))).toBe(applied);
  expect(sum(events, (event) => (event.event === 'contribution' && event.accepted ? event.samples : 0))).toBe(applied);
}

/** Bytes of the first worker's last chunk of parameters, or of their gradient. */
function lastOf(chunks: readonly RecordedChunk[]): Uint8Array {
  return chunks.findLast(({ kind }) => kind !== 'state')!.parts[0]!.bytes;
}

/** The recording of a run makes the bits that its folder has; whatever is changed in either is found. */
async function expectReplayed(run: string): Promise<void> {
  const commits = standingEvents(await readEvents(join(run, RUN_FILES.events))).flatMap(({ body }) => (body.event === 'commit' ? [body] : []));
  const last = commits.at(-1)!.version;
  const whole = await replayRun(run);
  expect([whole.result, whole.version]).toEqual(['agree', last]);
  const checkpoints = checkpointFolder(join(run, RUN_FILES.checkpoints), { keep: 10 });
  const durable = await checkpoints.versions();
  expect(whole.kept.map(({ version }) => version)).toEqual([...durable.toReversed(), last]);

  // Whoever writes a contribution anew with all its checksums.
  const folderOf = join(run, RUN_FILES.recording);
  const file = join(folderOf, 'v00000000', 'contributions.bin');
  const bytes = await readFile(file);
  const kernels = createKernels();
  const crc32c = (chunk: Uint8Array, previous?: number) => kernels.crc32c(chunk, previous);
  const recorded = (await readRecording(folderOf, { crc32c }))[0]!;
  const changed = commits[commits.length >> 1]!.version;
  const versions = [...recorded.versions].map((version) => [version, [...recorded.chunks(version)]] as const);
  recorded.close();
  const forger = recordingFolder(folderOf, { maxBytes: Infinity, crc32c });
  await forger.rewind(0);
  for (const [version, chunks] of versions) {
    // The sign of the last bias.
    if (version === changed) lastOf(chunks)[lastOf(chunks).length - 1]! ^= 128;
    await forger.append(version, chunks);
  }
  await forger.close();
  const forged = await replayRun(run);
  expect(forged.first).toMatchObject({ version: changed, after: changed - 1 });
  expect(['steady', 'doomed', 'late']).toEqual(expect.arrayContaining([...new Set(forged.first!.contributions.map(({ name }) => name))]));
  expect(forged.first!.contributions).not.toEqual([]);
  await writeFile(file, bytes);

  const version = durable[0]!;
  const kept = await checkpoints.read(version);
  kept.parameters[3]! += 1;
  await checkpoints.write(kept);
  const { exitCode, process } = await runCli(['replay', run, '--json'], { cwd: folder });
  const report = JSON.parse(process.lines.at(-1)!) as Pick<ReplayReport, 'result' | 'kept' | 'first'>;
  expect([exitCode, report.result, report.first!.version], process.stderr).toEqual([11, 'differ', version]);
  expect(report.kept.find(({ agrees }) => !agrees)).toMatchObject({ what: 'checkpoint', version, difference: { index: 3, values: 1 } });

  await truncate(file, bytes.length >> 1);
  expect(await replayRun(run)).toMatchObject({ result: 'incomplete', missing: { code: 'usage' } });
  await rm(folderOf, { recursive: true });
  await expect(replayRun(run)).rejects.toMatchObject({ code: 'usage', message: 'The run was not recorded.' });
}

it('loses nothing when server and worker are killed: runs, workers and clients go on by themselves', { timeout: 90_000 }, async () => {
  let server = await up();
  // They would take half a minute: no machine is so busy that the run ends before its server is killed for the second time.
  const [, doomed] = await Promise.all(['steady', 'doomed'].map((name) => join1(name, '0.01')));
  const client = start(...here('launch', 'job.yaml'));
  await client.line('"event":"checkpoint"');
  server.killAll();
  await server.exit;
  server = await up();
  const resumed = await client.line('"event":"resumed"');
  await client.line('"name":"doomed"', resumed);
  doomed!.killAll();
  await client.line('"event":"node_left"');

  // Once more, in the midst of a checkpoint.
  const [run] = await listRuns(join(folder, 'runs'));
  const checkpoints = join(run!.path, RUN_FILES.checkpoints);
  mkdirSync(checkpoints, { recursive: true });
  const watcher = watch(checkpoints);
  await new Promise<void>((resolve) => watcher.on('change', (_type, name) => String(name).endsWith('.tmp') && resolve()));
  server.killAll();
  watcher.close();
  await server.exit;
  await up();
  // It takes a second.
  await join1('late', '1');

  expect(await client.exit, client.stderr).toBe(0);
  const { verdict } = client;
  expect(client.events.filter(({ event }) => event === 'resumed')).toHaveLength(2);
  expect(client.lines.length).toBe((await log()).length);
  await expectAddedUp(verdict);
  expect(Math.abs(verdict.metrics.validation_loss! / LOSS - 1), client.lines.join('\n')).toBeLessThan(0.05);
  const joined = client.events.filter((event) => event.event === 'node_joined' && event.name === 'steady');
  expect(new Set(joined.map((event) => 'node' in event && event.node)).size).toBe(1);
  const [{ process: listed }] = await Promise.all([runCli(here('runs'), { cwd: folder }), expectReplayed(run!.path)]);
  expect(listed.lines.map((line) => JSON.parse(line) as object)).toMatchObject([{ run: verdict.run, status: 'succeeded', samples: ROUNDS * 128 }]);
});

it('goes on with a run that was cancelled, and begins another one with what it learnt; its tables in PostgreSQL, its checkpoints in a bucket', { timeout: 90_000 }, async () => {
  const [postgres, s3] = await Promise.all([startPostgres(), startS3Server()]);
  onTestFinished(() => Promise.all([postgres.dispose(), s3.close()]).then(() => undefined));
  env = { LONGTAIL_DATABASE: await postgres.database(), LONGTAIL_CHECKPOINTS: s3.location, ...s3.keys };
  await up();
  const [second] = await Promise.all([runCli(['up', '--port', '0', '--json'], { cwd: folder, env }), join1('steady')]);
  expect([second.exitCode, second.process.stderr]).toEqual([7, expect.stringMatching(/Another server uses this database[^]*where: *postgres:\/\/postgres@127/)]);
  const client = start(...here('launch', 'job.yaml'));
  expect(await client.line('"event":"checkpoint"')).toContain('s3://models/');
  const { run } = JSON.parse(await client.line('"submitted"')) as { run: string };
  client.signalGroup('SIGINT');
  expect(await client.exit).toBe(130);

  const resumed = start(...here('resume', run));
  expect(await resumed.exit, resumed.stderr).toBe(0);
  expect(resumed.verdict.run).toBe(run);
  await expectAddedUp(resumed.verdict);

  const whole = await runCli(here('fork', run), { cwd: folder });
  expect(whole.exitCode).toBe(2);
  expect(whole.process.stderr).toContain(`has all ${ROUNDS * 128} samples of the job`);

  // From here on the store refuses.
  s3.fault = (request, response) => request.method !== 'GET' && response.writeHead(403).end() !== undefined;
  const fork = start(...here('fork', run, '--set', `train.maxSamples=${(ROUNDS + 50) * 128}`, '--set', 'train.learningRate=0.05'));
  expect(await fork.exit, fork.stderr).toBe(0);
  expect(fork.events.find(({ event }) => event === 'forked')).toMatchObject({ from: { run }, samplesApplied: ROUNDS * 128 });
  expect(fork.verdict).toMatchObject({ status: 'succeeded', samples: { applied: (ROUNDS + 50) * 128, lost: 0 } });
  expect(fork.events.find(({ event }) => event === 'warning')).toMatchObject({ message: expect.stringMatching(/^version \d+ is in .*checkpoint.v\d+ alone: .*the store refuses/) });
  const commits = fork.events.flatMap((event) => (event.event === 'commit' ? [event] : []));
  expect(commits.reduce((total, { samples }) => total + samples, 0)).toBe(50 * 128);
  expect(commits[0]!.learningRate).toBe(0.05);
  const { process: listed } = await runCli(here('runs'), { cwd: folder });
  expect(listed.lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { run: fork.verdict.run, status: 'succeeded', samples: (ROUNDS + 50) * 128 },
    { run, status: 'succeeded', samples: ROUNDS * 128 },
  ]);
});
