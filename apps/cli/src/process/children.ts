import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { WireError } from '@longtail/core';
import { LongtailError } from '@longtail/core';

/** How much of a child's output is kept to explain its death. */
const LINES_KEPT = 20;
/** A child that was asked to leave gets this long before it is killed. */
const LEAVE_GRACE_MS = 8000;

export interface ChildOptions {
  /** For messages to people. */
  readonly name: string;
  /** Module of the process: `import.meta.resolve` of it. */
  readonly module: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What the child sends. */
  onMessage(message: ChildMessage): void;
  /** A line that the child printed. */
  onLine?(line: string): void;
}

/** Messages that every child may send; each kind of child adds its own. */
export interface ChildMessage {
  readonly type: string;
  readonly error?: WireError;
}

/**
 * A process of ours. It lives no longer than this one: the channel between them closes when either dies, and a child
 * whose channel closes ends itself.
 */
export class Child {
  private readonly lastLines: string[] = [];
  private lastError: WireError | undefined;
  private readonly exit: Promise<number | null>;

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
    options: ChildOptions,
  ) {
    this.exit = new Promise((resolve) => {
      child.once('exit', (code) => resolve(code));
      child.once('error', (error) => {
        this.lastLines.push(error.message);
        resolve(null);
      });
    });
    child.on('message', (message: ChildMessage) => {
      if (message.error !== undefined) this.lastError = message.error;
      options.onMessage(message);
    });
    for (const stream of [child.stdout, child.stderr]) this.keepLines(stream, options.onLine);
  }

  static start(options: ChildOptions): Child {
    const child = fork(fileURLToPath(options.module), options.args, {
      env: { ...process.env, LONGTAIL_TOKEN: undefined, ...options.env },
      execArgv: [],
      // A group of its own: a terminal's Ctrl-C goes to this process, which says what it means.
      detached: process.platform !== 'win32',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    return new Child(options.name, child, options);
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Resolves when the process has ended, with why as an error. */
  async ended(): Promise<LongtailError> {
    const code = await this.exit;
    if (this.lastError !== undefined) return LongtailError.fromWire(this.lastError);
    const why = code === null ? `was killed (${this.child.signalCode ?? 'it did not start'})` : `ended with code ${code}`;
    const said = this.lastLines.length > 0 ? `\n  ${this.lastLines.join('\n  ')}` : '';
    return new LongtailError(`${this.name} ${why}${said}`, { code: 'internal' });
  }

  /** Asks the process to finish and leave; kills it when it takes too long. Resolves when it is gone. */
  async leave(reason: string): Promise<void> {
    if (this.child.connected) this.child.send({ type: 'leave', reason }, () => undefined);
    else this.kill();
    const timer = setTimeout(() => this.kill(), LEAVE_GRACE_MS);
    await this.exit;
    clearTimeout(timer);
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }

  private keepLines(stream: Readable | null, onLine: ((line: string) => void) | undefined): void {
    if (stream === null) return;
    createInterface({ input: stream }).on('line', (line) => {
      this.lastLines.push(line);
      if (this.lastLines.length > LINES_KEPT) this.lastLines.shift();
      onLine?.(line);
    });
  }
}
