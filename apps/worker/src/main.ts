import { parseArgs } from 'node:util';
import { hostname } from 'node:os';
import { LongtailError, redactor, type DeviceSpeed } from '@longtail/core';
import type { OwnerLimits } from '@longtail/spec';
import type { LinkThrottle } from '@longtail/transport';
import type { EngineChoice } from './compute/channel.js';
import { EventLoopStats } from './event-loop-stats.js';
import type { ParentMessage, WorkerMessage } from './events.js';
import { startWorker, type AllowedCode } from './start-worker.js';

/**
 * The worker process. Its parent (the `longtail` command) has checked the arguments, hears of it over the channel
 * between them, and takes it along when it dies: a closed channel means leave.
 */
const STATS_EVERY_MS = 2000;
/** For the server to settle what the worker holds; then it leaves in any case. */
const FINISH_GRACE_MS = 4000;
/** Native threads may refuse to end; the process ends anyway. */
const EXIT_GRACE_MS = 3000;

/** After a signal the parent has this long to say what it means. */
const PARENT_GRACE_MS = 10_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const { values } = parseArgs({
  options: {
    server: { type: 'string', default: '127.0.0.1:7077' },
    identity: { type: 'string' },
    name: { type: 'string', default: hostname() },
    engine: { type: 'string', default: 'auto' },
    pace: { type: 'string', default: '1' },
    emulate: { type: 'string' },
    threads: { type: 'string' },
    memory: { type: 'string' },
    listen: { type: 'string' },
    'max-upload': { type: 'string' },
    limits: { type: 'string', default: '{}' },
    link: { type: 'string' },
    'chunk-length': { type: 'string' },
    'allow-code': { type: 'string' },
    wait: { type: 'boolean', default: false },
    state: { type: 'string' },
    'look-for': { type: 'string' },
  },
});

/** Up, down (bit/s, perhaps Infinity), round trip (ms), and bytes that one of a tensor takes. */
function readLink(text: string): LinkThrottle {
  const [up, down, roundTrip, standsFor] = text.split(',').map(Number);
  return { upBitsPerSecond: up!, downBitsPerSecond: down!, roundTripMs: roundTrip!, standsFor: standsFor! };
}

/** Samples a second, overhead (ms) and jitter. */
function readSpeed(text: string): DeviceSpeed {
  const [samplesPerSecond, overheadMs, jitter] = text.split(',').map(Number);
  return { samplesPerSecond: samplesPerSecond!, overheadMs: overheadMs!, jitter: jitter! };
}

const [finishing, leaving] = [new AbortController(), new AbortController()];
const leaveNow = (reason: string): void => {
  leaving.abort(new LongtailError(reason, { code: 'cancelled' }));
  setTimeout(() => process.exit(0), EXIT_GRACE_MS).unref();
};
/** What it holds is finished, if that is soon over. */
const leave = (reason: string): void => {
  if (finishing.signal.aborted) return leaveNow(reason);
  finishing.abort(new LongtailError(reason, { code: 'cancelled' }));
  setTimeout(() => leaveNow(reason), FINISH_GRACE_MS).unref();
};

/** Resolves when the message is on its way; a parent that is gone hears nothing. */
function tell(message: WorkerMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send!(message, undefined, undefined, () => resolve());
    else resolve();
  });
}

if (process.send === undefined) for (const signal of SIGNALS) process.on(signal, () => leave(`stopped by ${signal}`));
else {
  process.on('message', (message: ParentMessage) => leave(message.reason));
  process.on('disconnect', () => leaveNow('the command that started it is gone'));
  if (!process.connected) leaveNow('the command that started it is gone');
  // Service managers signal all processes at once; the order of their ends is the parent's to say.
  for (const signal of SIGNALS) process.on(signal, () => setTimeout(() => leave(`stopped by ${signal}`), PARENT_GRACE_MS).unref());
}

const stats = new EventLoopStats();
const reports = setInterval(() => void tell({ type: 'stats', stats: stats.take() }), STATS_EVERY_MS);

let exitCode = 0;
try {
  const { reason } = await startWorker({
    server: values.server,
    identity: values.identity,
    name: values.name,
    engine: values.engine as EngineChoice,
    pace: Number(values.pace),
    emulated: values.emulate === undefined ? undefined : readSpeed(values.emulate),
    threads: values.threads === undefined ? undefined : Number(values.threads),
    memoryBytes: values.memory === undefined ? undefined : Number(values.memory),
    listen: values.listen,
    maxUploadBitsPerSecond: values['max-upload'] === undefined ? undefined : Number(values['max-upload']),
    limits: JSON.parse(values.limits) as OwnerLimits,
    link: values.link === undefined ? undefined : readLink(values.link),
    chunkLength: values['chunk-length'] === undefined ? undefined : Number(values['chunk-length']),
    allowCode: values['allow-code'] as AllowedCode | undefined,
    wait: values.wait,
    stateFolder: values.state,
    reconnectForMs: values['look-for'] === undefined ? undefined : Number(values['look-for']),
    signal: leaving.signal,
    finish: finishing,
    onLimits: (watched) => void tell({ type: 'limits', watched }),
    onConfined: (by, user) => void tell({ type: 'confined', by, user }),
    onDevice: (device, choice) => void tell({ type: 'device', device, choice }),
    onEvent: (event) => void tell({ type: 'event', event }),
  });
  await tell({ type: 'ended', reason });
} catch (error) {
  if (!finishing.signal.aborted && !leaving.signal.aborted) {
    const known = LongtailError.from(error);
    exitCode = known.exitCode;
    await tell({ type: 'ended', reason: known.message, error: known.toWire() });
    if (known.code === 'internal') process.stderr.write(`${redactor(process.env).text(known.stack ?? '')}\n`);
  }
}
clearInterval(reports);
stats.stop();
if (process.connected) process.disconnect();
process.exit(exitCode);
