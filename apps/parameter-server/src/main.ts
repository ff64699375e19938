import { parseArgs } from 'node:util';
import { LongtailError, redactor } from '@longtail/core';
import { IN_MEMORY, openDatabase } from '@longtail/store';
import { pino } from 'pino';
import type { ParentMessage, ServerMessage } from './events.js';
import { startServer } from './start-server.js';

/**
 * The server process. Its parent (the `longtail` command) has checked the arguments, hears of it over the channel
 * between them, and takes it along when it dies: a closed channel means close.
 */
const EXIT_GRACE_MS = 6000;

/** After a signal the parent has this long to say what it means. */
const PARENT_GRACE_MS = 10_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '7077' },
    runs: { type: 'string', default: 'runs' },
    version: { type: 'string', default: '' },
    'chunk-length': { type: 'string' },
    'fleet-size': { type: 'string' },
    insecure: { type: 'boolean', default: false },
    'log-level': { type: 'string', default: 'warn' },
  },
});

const redact = redactor(process.env);
const closing = new AbortController();
let reason = '';
function close(why: string): void {
  reason ||= why;
  closing.abort();
  setTimeout(() => process.exit(0), EXIT_GRACE_MS).unref();
}

/** Resolves when the message is on its way; a parent that is gone hears nothing. */
function tell(message: ServerMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send!(message, undefined, undefined, () => resolve());
    else resolve();
  });
}

if (process.send === undefined) for (const signal of SIGNALS) process.on(signal, () => close(`stopped by ${signal}`));
else {
  process.on('message', (message: ParentMessage) => close(message.reason));
  process.on('disconnect', () => close('the command that started it is gone'));
  if (!process.connected) close('the command that started it is gone');
  // Service managers signal all processes at once; the order of their ends is the parent's to say.
  for (const signal of SIGNALS) process.on(signal, () => setTimeout(() => close(`stopped by ${signal}`), PARENT_GRACE_MS).unref());
}

let exitCode = 0;
try {
  const database = await openDatabase(IN_MEMORY);
  const server = await startServer({
    host: values.host,
    port: Number(values.port),
    runsFolder: values.runs,
    database,
    version: values.version,
    chunkLength: values['chunk-length'] === undefined ? undefined : Number(values['chunk-length']),
    fleetSize: values['fleet-size'] === undefined ? undefined : Number(values['fleet-size']),
    insecure: values.insecure,
    log: pino({ level: values['log-level'], hooks: { streamWrite: (entry) => `${redact.json(JSON.parse(entry))}\n` } }, process.stderr),
  });
  await tell({ type: 'listening', address: server.address });
  if (!closing.signal.aborted) await new Promise((resolve) => closing.signal.addEventListener('abort', resolve));
  await server.close(reason);
  await database.close();
  await tell({ type: 'ended', reason });
} catch (error) {
  const known = LongtailError.from(error);
  exitCode = known.exitCode;
  await tell({ type: 'ended', reason: known.message, error: known.toWire() });
  if (known.code === 'internal') process.stderr.write(`${redact.text(known.stack ?? '')}\n`);
}
if (process.connected) process.disconnect();
process.exit(exitCode);
