import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { arch, availableParallelism, cpus, freemem, platform, totalmem } from 'node:os';
import { dirname, resolve } from 'node:path';
import { formatBytes, formatSeconds, LongtailError } from '@longtail/core';
import { userCache } from '@longtail/core/user-folders';
import { probeNativeEngine } from '@longtail/engine-build';
import type { EngineFinding } from '../process/engines.js';
import { measureEngines } from '../process/engines.js';
import { connect } from '../process/identity.js';
import type { Output } from '../terminal/output.js';

/** One thing looked at. */
interface Finding {
  readonly part: 'device' | 'memory' | 'disk' | 'engine' | 'toolchain' | 'server';
  /** `problem`: no job can run, or the server that was asked for is out of reach; the exit code then says so. */
  readonly state: 'ok' | 'note' | 'problem';
  readonly text: string;
  readonly fix?: string;
  /** Figures for --json. */
  readonly data?: object;
}

interface DoctorOptions {
  readonly server?: string;
  readonly token?: string;
  readonly runs: string;
}

const ROUND_TRIPS = 10;

const LITTLE_MEMORY_BYTES = 2 * 2 ** 30;

const LITTLE_DISK_BYTES = 2 * 2 ** 30;

/** Exits with 0 where nothing is a problem. LongtailError `engine` where no engine works. */
export async function doctor(output: Output, options: DoctorOptions): Promise<number> {
  const say = (finding: Finding) => show(finding, output);
  say(device());
  say(memory());
  for (const folder of [resolve(options.runs), userCache()]) say(await disk(folder));
  let working = 0;
  await measureEngines((finding) => {
    if (finding.works) working++;
    say(engine(finding));
  });
  for (const finding of await toolchain()) say(finding);
  const link = options.server === undefined ? undefined : await server(options.server, options.token);
  if (link !== undefined) say(link.finding);
  if (working === 0)
    throw new LongtailError('No engine works on this machine.', {
      code: 'engine',
      hint: 'Mend what stands above; `longtail engine install` builds the fastest.',
    });
  return link?.exitCode ?? 0;
}

function show({ part, state, text, fix, data }: Finding, output: Output): void {
  output.event({ event: 'finding', part, state, text, fix, ...data });
  if (output.json) return;
  const { dim, green, red, yellow } = output.colors;
  const mark = { ok: green('✓'), note: yellow('–'), problem: red('✗') }[state];
  output.line(`${mark} ${part.padEnd(9)}  ${text}`);
  if (fix) output.line(`             ${dim(fix)}`);
}

function device(): Finding {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const cores = availableParallelism();
  return {
    part: 'device',
    state: 'ok',
    text: `${model}, ${cores} cores, ${platform()} ${arch()}, Node ${process.versions.node}`,
    data: { model, cores },
  };
}

export function memory(free = freemem(), total = totalmem()): Finding {
  const little = free < LITTLE_MEMORY_BYTES;
  return {
    part: 'memory',
    state: little ? 'note' : 'ok',
    text: `${formatBytes(free)} free of ${formatBytes(total)}`,
    fix: little ? `End other programs: a worker with the tensorflow engine takes about ${formatBytes(2 ** 29)}.` : undefined,
    data: { freeBytes: free, totalBytes: total },
  };
}

async function disk(folder: string): Promise<Finding> {
  let existing = folder;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  const { bavail, bsize } = await statfs(existing);
  return room(folder, bavail * bsize);
}

export function room(folder: string, free: number): Finding {
  const little = free < LITTLE_DISK_BYTES;
  return {
    part: 'disk',
    state: little ? 'note' : 'ok',
    text: `${formatBytes(free)} free at ${folder}`,
    fix: little ? 'Free some space, or use --runs and LONGTAIL_CACHE to go to another disk.' : undefined,
    data: { folder, freeBytes: free },
  };
}

function engine(finding: EngineFinding): Finding {
  if (!finding.works)
    return { part: 'engine', state: 'note', text: `${finding.name}: ${finding.reason}`, fix: finding.fix, data: { engine: finding.name } };
  const text = `${finding.name}: ${finding.gflops.toPrecision(2)} GFLOP/s, ${finding.description}`;
  return { part: 'engine', state: 'ok', text, data: { engine: finding.name, gflops: finding.gflops } };
}

async function toolchain(): Promise<Finding[]> {
  const { compiler, pip, present, variant, problems, installable } = await probeNativeEngine();
  const there =
    present.length > 0
      ? `the native engine is there (${present.join(', ')})`
      : `the native engine can${installable ? '' : 'not'} be built (${variant})`;
  const tools = [compiler && `compiler ${compiler.version}`, pip && `pip ${pip.version}`].filter(Boolean).join(', ');
  const summary: Finding = {
    part: 'toolchain',
    state: present.length > 0 || installable ? 'ok' : 'note',
    text: `${there}; ${tools || 'no compiler, no pip'}`,
    fix: present.length === 0 && installable ? 'Run `longtail engine install`.' : undefined,
  };
  return [summary, ...problems.map(({ message, fix }): Finding => ({ part: 'toolchain', state: 'note', text: message, fix }))];
}

async function server(address: string, token: string | undefined): Promise<{ finding: Finding; exitCode: number }> {
  const { signal } = new AbortController();
  try {
    const client = await connect({ server: address, token }, signal);
    const times: number[] = [];
    for (let i = 0; i < ROUND_TRIPS; i++) {
      const startMs = performance.now();
      await client.getServer(signal);
      times.push(performance.now() - startMs);
    }
    client.close();
    const roundTripMs = times.sort((a, b) => a - b)[ROUND_TRIPS >> 1]!;
    const { version, protocol, nodes, runningJobs } = client.server;
    const text = `${address} answers in ${formatSeconds(roundTripMs / 1000)}: version ${version}, protocol ${protocol}, ${nodes} nodes, ${runningJobs} running jobs`;
    return { finding: { part: 'server', state: 'ok', text, data: { address, roundTripMs } }, exitCode: 0 };
  } catch (error) {
    const { message, hint, exitCode } = LongtailError.from(error);
    return { finding: { part: 'server', state: 'problem', text: message, fix: hint, data: { address } }, exitCode };
  }
}
