import { spawn, type ChildProcess } from 'node:child_process';
import { LongtailError } from '@longtail/core';

/** As much of a child's output as is kept, from its end: the error stands there. */
const KEPT_CHARACTERS = 64 * 1024;
const KILL_GRACE_MS = 2000;

export interface ChildOptions {
  readonly signal?: AbortSignal;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

export interface ChildResult {
  /** The exit code; 127 when there is no such program, as in a shell. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end. On abort the program and what it started are ended before the promise rejects.
 *
 * @throws LongtailError `cancelled` on abort. A program that fails, or is not there, does not throw.
 */
export async function run(command: string, args: readonly string[], options: ChildOptions = {}): Promise<ChildResult> {
  const { signal, env = process.env, cwd } = options;
  throwIfCancelled(signal);
  // In a process group of its own, so that on abort pip's and the compiler's own children can be ended with it.
  const detached = process.platform !== 'win32';
  const child = spawn(command, args, { env, cwd, detached, stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true });
  const onAbort = (): void => endGroup(child);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const result = await collect(child);
    throwIfCancelled(signal);
    return result;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new LongtailError('The installation of the TensorFlow engine was cancelled.', { code: 'cancelled', cause: signal.reason });
  }
}

function collect(child: ChildProcess): Promise<ChildResult> {
  return new Promise((resolve) => {
    let stdout = '';
    let stderr = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout = (stdout + text).slice(-KEPT_CHARACTERS)));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-KEPT_CHARACTERS)));
    child.on('error', (error) => resolve({ code: 127, stdout, stderr: error.message }));
    child.on('close', (code, signalName) => resolve({ code: code ?? 1, stdout, stderr: stderr || (signalName ?? '') }));
  });
}

function endGroup(child: ChildProcess): void {
  signalGroup(child, 'SIGTERM');
  const timer = setTimeout(() => signalGroup(child, 'SIGKILL'), KILL_GRACE_MS);
  child.once('close', () => clearTimeout(timer));
}

function signalGroup(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === 'win32') child.kill(name);
    else process.kill(-child.pid, name);
  } catch (error) {
    // ESRCH: it has just ended by itself.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
