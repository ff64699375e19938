import { spawn, type ChildProcess } from 'node:child_process';
import { basename, dirname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { formatBytes, formatSeconds, LongtailError, printable } from '@longtail/core';
import type { ModuleReply, ModuleRequest, Walls } from './run-module.js';
import { confine, mechanisms, runnerFiles, type Limits, type Mechanism, type Visible } from './sandbox.js';

/** Where the module's folder is inside. */
const MODULE_FOLDER = '/module';
const LIMITS: Limits = { cpuSeconds: 30, memoryBytes: 2 * 2 ** 30 };
const HEAP_MIB = 1024;
/** A module that waits for something takes no processor time. */
const PATIENCE_MS = 120_000;
/** Of an answer, and of what a module prints. */
const MOST_BYTES = 256 * 2 ** 20;
const MOST_PRINTED_BYTES = 2 ** 20;
const KEPT_OF_ERRORS = 4000;
const MOST_MESSAGE = 500;

export interface ConfinedOptions {
  readonly mechanism: Mechanism;
  readonly limits?: Limits;
  readonly patienceMs?: number;
}

/** How this machine can confine a module, tried out. Throws LongtailError `refused` where it cannot, with what is missing. */
export async function findMechanism(): Promise<{ readonly mechanism: Mechanism; readonly walls: Walls }> {
  const reasons: string[] = [];
  for (const mechanism of mechanisms()) {
    try {
      const reply = await ask({ mechanism }, [], { path: undefined, options: {}, purpose: undefined as never }, new AbortController().signal);
      if (reply.reply === 'walls' && reply.walls.environment.length === 0 && reply.walls.networks.length === 0) return { mechanism, walls: reply.walls };
      reasons.push(`${mechanism}: not tight, ${JSON.stringify(reply)}`);
    } catch (error) {
      reasons.push(`${mechanism}: ${LongtailError.from(error).message}`);
    }
  }
  const why = process.platform === 'linux' ? `neither bubblewrap nor namespaces work here (${reasons.join('; ') || 'bwrap, unshare, setpriv or prlimit is missing'})` : `that takes Linux, this is ${process.platform}`;
  throw new LongtailError(`This machine cannot confine modules: ${why}.`, {
    code: 'refused',
    where: '--allow-code=confined',
    hint: 'Install bubblewrap; or, only for people you would give a shell, --allow-code=trusted.',
  });
}

/**
 * Runs a job's module confined and gives its blocks as data, checked. `path`: the module on this machine; it sees the files
 * beside it, which everybody must be able to read, and nothing else. Throws LongtailError `invalid-file` naming the module, and `signal`'s reason.
 */
export async function confinedModel(options: ConfinedOptions, path: string, request: Omit<ModuleRequest, 'path'>, signal: AbortSignal): Promise<unknown> {
  const inside = `${MODULE_FOLDER}/${basename(path)}`;
  const reply = await ask(options, [{ from: dirname(path), to: MODULE_FOLDER }], { path: inside, ...request }, signal);
  if (reply.reply === 'model') return (await import('@longtail/engine/traced-check')).checkTraced(reply.model, basename(path));
  if (reply.reply !== 'failed') throw new LongtailError('it gave no model', { code: 'invalid-file', where: basename(path) });
  const { message, where, hint } = reply.error;
  throw new LongtailError(shown(message), { code: 'invalid-file', where: shown(where.replace(`${MODULE_FOLDER}/`, '')) || basename(path), hint: shown(hint) || undefined });
}

/** The last reply of a process that was asked once. */
async function ask({ mechanism, limits = LIMITS, patienceMs = PATIENCE_MS }: ConfinedOptions, visible: readonly Visible[], request: ModuleRequest, signal: AbortSignal): Promise<ModuleReply> {
  const name = request.path === undefined ? 'the trial' : basename(request.path);
  const script = fileURLToPath(new URL('../../dist/confined/run-module.js', import.meta.url));
  const permission = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission';
  const nodeArgs = [permission, '--allow-fs-read=*', '--no-warnings', '--no-addons', `--max-old-space-size=${HEAP_MIB}`, script];
  const command = await confine(mechanism, [...runnerFiles(), ...visible], limits, nodeArgs);
  const child = spawn(command.file, command.args, { env: command.env, cwd: '/', detached: true, stdio: ['pipe', 'pipe', 'pipe', 'pipe'] });
  const patience = AbortSignal.timeout(patienceMs);
  let killedFor: string | undefined;
  const kill = (why: string): void => {
    killedFor ??= why;
    child.kill('SIGKILL');
  };
  const onPatience = (): void => kill(`it was not done after ${formatSeconds(patienceMs / 1000)}`);
  const onAbort = (): void => kill('nobody wants it any more');
  patience.addEventListener('abort', onPatience);
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  try {
    let printed = 0;
    const count = (bytes: number): void => {
      printed += bytes;
      if (printed > MOST_PRINTED_BYTES) kill(`it prints more than ${formatBytes(MOST_PRINTED_BYTES)}`);
    };
    child.stdout.on('data', (chunk: Buffer) => count(chunk.length));
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => {
      count(chunk.length);
      errors = (errors + chunk.toString('utf8')).slice(-KEPT_OF_ERRORS);
    });
    child.stdin.on('error', () => undefined); // it ended before it read
    child.stdin.end(JSON.stringify(request));
    const { reply, part } = await lastReply(child, () => kill(`its answer is larger than ${formatBytes(MOST_BYTES)}`));
    signal.throwIfAborted();
    if (killedFor === undefined && reply !== undefined) return reply;
    const why = killedFor ?? reasonOf(child, errors, limits);
    throw new LongtailError(shown(part === undefined ? why : `${part}: ${why}`), { code: 'invalid-file', where: name });
  } finally {
    patience.removeEventListener('abort', onPatience);
    signal.removeEventListener('abort', onAbort);
    command.dispose();
  }
}

/** Reads until the process is gone. */
async function lastReply(child: ChildProcess, tooLarge: () => void): Promise<{ readonly reply: ModuleReply | undefined; readonly part: string | undefined }> {
  const ended = new Promise<void>((resolve, reject) => {
    child.once('close', () => resolve());
    child.once('error', reject);
  });
  const answers = child.stdio[3] as Readable & Writable;
  let bytes = 0;
  answers.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) tooLarge();
  });
  let reply: ModuleReply | undefined;
  let part: string | undefined;
  createInterface({ input: answers }).on('line', (line) => {
    try {
      const said = JSON.parse(line) as ModuleReply;
      if (said.reply === 'part') part = said.part;
      else reply = said;
    } catch {
      // Whoever is inside may write anything there; what is no reply says nothing.
    }
  });
  await ended;
  return { reply, part };
}

function reasonOf({ exitCode, signalCode }: ChildProcess, errors: string, { cpuSeconds, memoryBytes }: Limits): string {
  if (/out of memory/i.test(errors)) return `it takes more than ${formatBytes(memoryBytes)} of memory`;
  // unshare says so of a child that was killed.
  if (signalCode !== null || exitCode === 137 || errors.includes('sigprocmask')) return `it was killed: it takes more than ${cpuSeconds} s of processor time, or memory that is not there`;
  const last = errors.trim().split('\n').at(-1) ?? '';
  return `it ended its process with exit code ${exitCode}${last && `: ${last}`}`;
}

/** What a stranger wrote, for a terminal and a log. */
function shown(text: string): string {
  const plain = printable(String(text));
  return plain.length > MOST_MESSAGE ? `${plain.slice(0, MOST_MESSAGE)}…` : plain;
}
