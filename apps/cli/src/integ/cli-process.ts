import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { RunEvent, Verdict } from '@longtail/core';

export const BIN = fileURLToPath(new URL('../../bin/longtail.mjs', import.meta.url));
const END_WITH_PARENT = new URL('../../../../tools/end-with-parent.mjs', import.meta.url).href;
/** Marks every process that a command starts, whoever its parent is by then. */
const MARK = 'LONGTAIL_TEST_PROCESS';

export interface CliOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** A command that runs the command in its arguments. */
  readonly within?: readonly string[];
}

/** The `longtail` command as a user runs it: its own process, from dist. It ends with this one, though this one is killed. */
export class CliProcess {
  readonly lines: string[] = [];
  stderr = '';
  readonly exit: Promise<number | null>;
  private readonly mark = randomUUID();
  private readonly child: ChildProcess;
  private readonly waiting: (() => void)[] = [];

  constructor(args: readonly string[], options: CliOptions) {
    const env = { ...process.env, NO_COLOR: '1', LONGTAIL_STATE: join(options.cwd, 'state'), ...options.env, [MARK]: this.mark };
    const [file, ...rest] = [...(options.within ?? []), process.execPath, '--import', END_WITH_PARENT, BIN, ...args];
    // Its own group, so that a signal to the group is what a terminal's Ctrl-C is.
    const settings: SpawnOptions = { cwd: options.cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] };
    this.child = spawn(file!, rest, settings);
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      this.lines.push(line);
      this.waiting.splice(0).forEach((wake) => wake());
    });
    this.child.stderr!.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.exit = new Promise((resolve) => this.child.once('close', (code) => resolve(code)));
  }

  /** The events of a command with --json, so far. */
  get events(): RunEvent[] {
    return this.lines.map((line) => JSON.parse(line) as RunEvent);
  }

  get verdict(): Verdict {
    return JSON.parse(this.lines.at(-1)!) as Verdict;
  }

  /** Resolves with the first line that has `text`, of those after the line `after` if there is one; rejects when the command ends without one. */
  async line(text: string, after?: string): Promise<string> {
    for (let seen = after === undefined ? 0 : this.lines.indexOf(after) + 1, ended = false; ; ) {
      const found = this.lines.slice(seen).find((line) => line.includes(text));
      if (found !== undefined) return found;
      if (ended) throw new Error(`the command ended without a line with ${text}:\n${this.lines.join('\n')}\n${this.stderr}`);
      seen = this.lines.length;
      ended = await Promise.race([this.exit.then(() => true), new Promise<false>((resolve) => this.waiting.push(() => resolve(false)))]);
    }
  }

  /** Of `up --port 0 --json`: its address, once it listens. */
  async listening(): Promise<string> {
    return (JSON.parse(await this.line('"listening"')) as { address: string }).address;
  }

  /** As a terminal does: to every process of the group. */
  signalGroup(signal: NodeJS.Signals): void {
    process.kill(-this.child.pid!, signal);
  }

  /** To the command alone. */
  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Processes that the command or its children started and that are still there. */
  processes(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => environmentOf(pid).includes(`${MARK}=${this.mark}`))
      .map(Number);
  }

  /** Resolves when no such process is left; rejects when some are after `withinMs`. */
  async nobodyLeft(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (this.processes().length > 0) {
      if (performance.now() > deadline) throw new Error(`still there: ${this.processes().join(', ')}`);
      await delay(20);
    }
  }

  /** To every process that the command or its children started. */
  signalAll(signal: NodeJS.Signals): void {
    for (const pid of this.processes()) process.kill(pid, signal);
  }

  /** For the end of a test, however it ended. */
  killAll(): void {
    this.signalAll('SIGKILL');
  }
}

/** Runs a command to its end. */
export async function runCli(args: readonly string[], options: CliOptions): Promise<{ exitCode: number | null; process: CliProcess }> {
  const cli = new CliProcess(args, options);
  return { exitCode: await cli.exit, process: cli };
}

/** Empty for processes that are gone, or not ours to look at. */
function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return '';
  }
}
