import { spawnSync } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROTOCOL_VERSION } from '@longtail/protocol';
import { dial, listen, type ControlService, type Listener } from '@longtail/transport';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CliProcess, runCli } from './cli-process.js';
import { jobFolder, smallJob } from './jobs.js';
import { runHere } from './run-here.js';

/** Nobody listens on port 1 of this machine. */
const NOBODY = '127.0.0.1:1';

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

async function expectFailure(args: readonly string[], exitCode: number, message: RegExp): Promise<void> {
  const result = await runCli(args, { cwd: folder });
  started.push(result.process);
  expectSaid(result.process.stderr, message);
  expect(result.exitCode).toBe(exitCode);
}

/** Of a command that ends before it has started or opened anything. */
async function expectRefusal(args: readonly string[], exitCode: number, message: RegExp): Promise<void> {
  const result = await runHere(args, folder);
  expectSaid(result.stderr, message);
  expect(result.exitCode).toBe(exitCode);
}

function expectSaid(stderr: string, message: RegExp): void {
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/\n\s+at /);
}

describe('wrong use', { timeout: 30_000 }, () => {
  it.each([
    ['a command that is none', ['lanch'], /unknown command 'lanch'[^]*Did you mean launch\?/],
    ['no address', ['nodes', '--server', 'somewhere'], /error: "somewhere" is not an address/],
    ['a door both open and locked', ['up', '--tls', '--insecure', '--port', '0'], /error: --tls and --insecure at once/],
  ])('%s', (_name, args, message) => expectFailure(args, 2, message));

  it.each([
    ['an option that is none', ['demo', '--wrokers', '2'], /unknown option '--wrokers'[^]*Did you mean --workers\?/],
    ['a number out of range', ['demo', '--workers', '0'], /whole number from 1 to 64/],
    ['a pace that is none', ['join', '--throttle', '2'], /above 0 and at most 1/],
    ['an engine that is none', ['demo', '--engine', 'cuda'], /Allowed choices are auto, tensorflow/],
    ['half a token', ['nodes', '--token', 'longtail-AQAB'], /error: the token is not one[^]*hint:.*Copy all of it/],
  ])('%s', (_name, args, message) => expectRefusal(args, 2, message));
});

describe('a job', { timeout: 30_000 }, () => {
  const withJob = async (text: string, exitCode: number, message: RegExp, expectIt = expectFailure) => {
    await writeFile(join(folder, 'job.yaml'), text);
    await expectIt(['demo', '--job', 'job.yaml', '--engine', 'wasm', '--workers', '1'], exitCode, message);
  };

  it('that is not there', () => expectRefusal(['launch', 'none.yaml'], 4, /error: The job file none\.yaml does not exist/));
  it('that is broken', () => withJob('data: mnist\nmodel: {type: cnn\n', 3, /job\.yaml:3:1: not valid YAML/));
  it('with an unknown model', () =>
    withJob('data: mnist\nmodel: cn\n', 3, /job\.yaml:2:1 model\.type: unknown model "cn"; did you mean "cnn"\?/, expectRefusal));
  it('with an unknown data set', () =>
    withJob('data: {type: minst}\nmodel: cnn\n', 3, /job\.yaml:1:8 data\.type: unknown data set "minst"; did you mean "mnist"\?/, expectRefusal));
  it('whose data are not there', () => withJob('data: {type: text, path: none.txt}\nmodel: gpt\n', 4, /error: .*\nwhere: .*none\.txt/));
  it('whose model does not fit its data', () =>
    withJob('data: mnist\nmodel: gpt\n', 3, /error: gpt learns from tokens, and mnist has none\nwhere: job\.yaml:2:1 model\.type\nhint: /));
});

describe('a server', { timeout: 30_000 }, () => {
  it.each([['launch', 'job.yaml'], ['nodes'], ['jobs'], ['cancel', 'x']])('that is not there: %s', (...args) =>
    expectRefusal([...args, '--server', NOBODY], 6, /error: no Longtail server answers at 127\.0\.0\.1:1/),
  );

  it('that is not there: plan, which can do without', () => expectFailure(['plan', 'job.yaml', '--server', NOBODY], 6, /error: no Longtail server answers[^]*hint:.*--fleet/));

  it('that is not there: join', () =>
    expectFailure(['join', NOBODY, '--engine', 'wasm'], 6, /error: no Longtail server answers at 127\.0\.0\.1:1/));

  it('that speaks another protocol', async () => {
    const foreign = await listenInProtocol(PROTOCOL_VERSION + 1);
    await expectFailure(['nodes', '--server', foreign.address], 6, /error: the server speaks protocol \d+, this side speaks \d+[^]*hint:/);
    await foreign.close('the test is over');
  });

  it('meets a worker of another protocol', async () => {
    const up = new CliProcess(['up', '--port', '0', '--json'], { cwd: folder });
    started.push(up);
    const address = await up.listening();
    const device = { engine: 'cpu', description: '', memoryBytes: 0, gflops: 0, throttle: 1 };
    const hello = { protocol: PROTOCOL_VERSION + 1, name: 'future', incarnation: 'a', device, allowCode: false, peerAddress: '', host: '', maxUploadBitsPerSecond: 0, curveKey: '', node: '', epoch: 0, standbyAddress: '', paused: '' };
    const joining = dial(address, { hello, crc32c: () => 0, signal: new AbortController().signal });
    await expect(joining).rejects.toMatchObject({
      code: 'protocol',
      message: expect.stringContaining(`speaks protocol ${PROTOCOL_VERSION + 1}`),
    });
  });

  it('whose answer is longer than a pipe holds', async () => {
    const device = { engine: 'cpu', description: '', memoryBytes: 0, gflops: 0, throttle: 1 };
    const row = { node: 'n', name: 'n', device, state: 'idle', run: '', samplesPerSecond: 0, joinedAtMs: 0, lastSeenMsAgo: 0, samplesApplied: 0, peerAddress: '', profiledJob: '', profiledModel: '', handOverMs: 0, maxUploadBitsPerSecond: 0, paused: '' };
    const link = { upBitsPerSecond: 0, downBitsPerSecond: 0, roundTripMs: 0 };
    const block = { block: 'dense', microbatch: 1, forwardMs: 1, backwardMs: 1, inputGradientMs: 1, stashBytes: 0, forwardCallMs: 0, backwardCallMs: 0, recomputeMs: 0 };
    const nodes = [{ ...row, link, blocks: Array.from({ length: 10_000 }, () => block) }];
    const server = await listenInProtocol(PROTOCOL_VERSION, { listNodes: async () => ({ nodes, peers: [], gone: [] }) });
    const { exitCode, process } = await runCli(['nodes', '--json', '--server', server.address], { cwd: folder });
    expect(exitCode).toBe(0);
    expect(JSON.parse(process.lines[0]!)).toMatchObject({ blocks: nodes[0]!.blocks });
    await server.close('the test is over');
  });

  it('whose port is in use', async () => {
    const taken = await occupyPort();
    const { port } = taken.address() as { port: number };
    await expectFailure(['up', '--port', String(port)], 6, new RegExp(`error: port ${port} on 127\\.0\\.0\\.1 is in use[^]*hint:.*--port`));
    taken.close();
  });

  it('that does not know the run', async () => {
    const up = new CliProcess(['up', '--port', '0', '--json'], { cwd: folder });
    started.push(up);
    const address = await up.listening();
    await expectFailure(['cancel', 'none', '--server', address], 2, /error: .*none/);
    up.signal('SIGINT');
    expect(await up.exit).toBe(0);
    expect(up.processes()).toEqual([]);
  });
});

type Within = (runs: string) => readonly string[];

/** Commands that leave what they run 64 KiB for a folder, or for each of its files: enough for the log of some rounds, not for a checkpoint. */
const SMALL_DISKS: Readonly<Record<string, Within>> = {
  'a full disk in memory': (runs) => ['unshare', '--mount', 'bash', '-c', 'mount -t tmpfs -o size=64k small "$0" && exec "$@"', runs],
  'a limit on files': (runs) => ['bash', '-c', 'ulimit -f 64; exec "$@"', runs],
};

/** Who may mount nothing has the limit alone. */
const smallDisks = Object.entries(SMALL_DISKS).filter(([, within]) => {
  const [file, ...args] = within(tmpdir());
  return spawnSync(file!, [...args, 'true']).status === 0;
});

describe('a place that takes no folders', { timeout: 30_000 }, () => {
  it.each([
    ['runs', ['--runs', 'job.yaml'], /error: Cannot keep the runs: it is a file[^]*where: .*job\.yaml[^]*hint: /],
    ['state', ['--state', 'job.yaml/state'], /error: Cannot open the database: ENOTDIR[^]*where: .*job\.yaml\/state[^]*hint: /],
  ])('ends a server before it listens: %s', (_name, args, message) => expectFailure(['up', '--port', '0', ...args], 7, message));
});

describe('a disk without room', { timeout: 60_000 }, () => {
  it('leaves the model that an export would have replaced', async () => {
    const [run, taken] = [join(folder, 'run'), join(folder, 'taken')];
    await Promise.all([run, taken].map((path) => mkdir(path)));
    await writeFile(join(taken, 'model.safetensors'), 'before');
    await Promise.all(['job.json', 'model.safetensors', 'model.json'].map((name) => writeFile(join(run, name), name === 'model.safetensors' ? new Uint8Array(100_000) : '{}')));
    const cli = new CliProcess(['export', 'run', '--output', 'taken/model.safetensors'], { cwd: folder, within: SMALL_DISKS['a limit on files']!(run) });
    started.push(cli);
    expect([await cli.exit, cli.stderr]).toEqual([7, expect.stringMatching(/^error: Cannot write the model/)]);
    expect(await readFile(join(taken, 'model.safetensors'), 'utf8')).toBe('before');
  });

  it.each(smallDisks)('fails the run with a reason, and keeps what was learnt: %s', async (_, within) => {
    const runs = join(folder, 'runs');
    await mkdir(runs);
    const cli = new CliProcess(['demo', '--job', 'job.yaml', '--engine', 'wasm', '--workers', '2', '--json'], { cwd: folder, within: within(runs) });
    started.push(cli);
    expect(await cli.exit).toBe(7);
    expect(cli.verdict).toMatchObject({ event: 'verdict', status: 'failed', error: { code: 'storage' } });
    expect(cli.stderr).toMatch(/^error: .*\nwhere: .*\nhint: /);
    expect(cli.processes()).toEqual([]);
  });
});

function listenInProtocol(protocol: number, changes: Partial<ControlService> = {}): Promise<Listener> {
  const never = () => Promise.reject(new Error('not asked in this test'));
  const getServer = () => Promise.resolve({ protocol, version: '9.9.9', startedAtMs: 0, nodes: 0, runningJobs: 0, epoch: 1, standbyAddress: '', standbyState: '' });
  const control = { getServer, launch: never, cancel: never, resume: never, fork: never, listJobs: never, listRuns: never, listNodes: never, orderNode: never, takeOver: never, watch: async function* () {}, ...changes };
  return listen({ port: 0, control, crc32c: () => 0, onSession: () => undefined, signal: new AbortController().signal });
}

function occupyPort(): Promise<Server> {
  const server = createServer();
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}
