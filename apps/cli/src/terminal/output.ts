import type { WriteStream } from 'node:tty';
import { LongtailError, redactor } from '@longtail/core';
import type { Colors } from '../view/colors.js';
import { colorsFor } from '../view/colors.js';

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly debug: boolean;
}

/** Where a command speaks: results to stdout, notes and errors to stderr. Secrets are taken out of all but what `reveal` is given. */
export interface Output extends OutputOptions {
  readonly colors: Colors;
  /** stdout is a terminal that can redraw, and people want to see it. */
  readonly live: boolean;
  width(): number;
  /** A result, or progress for people. */
  line(text: string): void;
  /** One JSON line; nothing unless --json. */
  event(value: object): void;
  /** What goes on, for people; neither with --json nor with --quiet. */
  note(text: string): void;
  /** Only with --debug. */
  detail(text: string): void;
  fail(error: unknown): void;
  /** A secret that the command was asked for: the text, or with --json the event. */
  reveal(text: string, event: object): void;
}

export function createOutput(options: OutputOptions, stdout: WriteStream = process.stdout, stderr: WriteStream = process.stderr): Output {
  const redact = redactor(process.env);
  const colors = colorsFor(stdout, process.env);
  const errorColors = colorsFor(stderr, process.env);
  return {
    ...options,
    colors,
    live: stdout.isTTY === true && process.env['TERM'] !== 'dumb' && !options.json && !options.quiet,
    width: () => stdout.columns || 80,
    line: (text) => void stdout.write(`${redact.text(text)}\n`),
    event: (value) => void (options.json && stdout.write(`${redact.json(value)}\n`)),
    note: (text) => void (options.json || options.quiet || stdout.write(`${redact.text(text)}\n`)),
    detail: (text) => void (options.debug && stderr.write(`${redact.text(text)}\n`)),
    fail: (error) => void stderr.write(`${redact.text(describeError(error, options.debug, errorColors))}\n`),
    reveal: (text, event) => void stdout.write(`${options.json ? JSON.stringify(event) : text}\n`),
  };
}

/** `error: …`, then where and what to do; the stack only with --debug. */
export function describeError(error: unknown, debug: boolean, colors: Colors): string {
  const known = LongtailError.from(error);
  const lines = [`${colors.red('error:')} ${known.message}`];
  if (known.where !== undefined) lines.push(`${colors.dim('where:')} ${known.where}`);
  if (known.hint !== undefined) lines.push(`${colors.dim('hint:')}  ${known.hint}`);
  if (debug) lines.push(...stacks(known));
  else if (known.code === 'internal')
    lines.push(`${colors.dim('hint:')}  run the command again with --debug for details, and report it if it is a bug`);
  return lines.join('\n');
}

function stacks(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  return [error.stack ?? error.message, ...stacks(error.cause)];
}
