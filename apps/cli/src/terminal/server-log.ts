import { Writable } from 'node:stream';
import { redactor } from '@longtail/core';
import type { Logger, LoggerOptions } from 'pino';
import { pino } from 'pino';
import type { Output } from './output.js';

/** A server's log for people: a line an entry. JSON lines to stderr with --json, nothing but warnings with --quiet. */
export function serverLog(output: Output): Logger {
  const level = output.debug ? 'debug' : output.quiet ? 'warn' : 'info';
  const redact = redactor(process.env);
  const hooks: LoggerOptions['hooks'] = { streamWrite: (entry) => `${redact.json(JSON.parse(entry))}\n` };
  if (output.json) return pino({ level, hooks }, process.stderr);
  return pino(
    { level, base: null },
    lines((entry) => output.line(describe(entry, output))),
  );
}

interface Entry {
  readonly level: number;
  readonly time: number;
  readonly msg: string;
}

function describe({ level, time, msg, ...fields }: Entry, { colors }: Output): string {
  const clock = colors.dim(new Date(time).toTimeString().slice(0, 8));
  const details = Object.entries(fields).map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const text = level >= 50 ? colors.red(msg) : level >= 40 ? colors.yellow(msg) : msg;
  return `${clock} ${text}${details.length > 0 ? colors.dim(`  ${details.join(', ')}`) : ''}`;
}

function lines(show: (entry: Entry) => void): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().split('\n')) if (line !== '') show(JSON.parse(line) as Entry);
      done();
    },
  });
}
