import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatCount, LongtailError } from '@longtail/core';
import { userConfig, userState } from '@longtail/core/user-folders';
import type { OwnerLimits } from '@longtail/spec';
import type { LinkRates } from '@longtail/spec/links';
import { connectClient } from '@longtail/transport';
import type { AllowedCode, EngineChoice, WorkerMessage } from '@longtail/worker';
import { nodeIdentity, rememberAtStandby } from '../process/identity.js';
import { Interruption } from '../process/interruption.js';
import { describeDevice, startWorkerProcess } from '../process/worker-process.js';
import type { Output } from '../terminal/output.js';
import { WorkerNarrator } from '../view/worker.js';

/** Slow to load, and most nodes have no file. */
const fileFormats = () => import('@longtail/spec');

interface JoinOptions {
  readonly name: string;
  readonly token?: string;
  readonly engine: EngineChoice;
  readonly limits?: string;
  readonly share?: number;
  readonly threads?: number;
  readonly maxMemory?: number;
  readonly listen?: string;
  readonly maxUpload?: number;
  readonly hours?: OwnerLimits['hours'];
  readonly onlyIdle?: number | true;
  readonly maxTemperature?: number;
  readonly maxPower?: number;
  readonly link?: LinkRates;
  readonly allowCode?: AllowedCode;
  readonly wait?: boolean;
  readonly lookFor?: number;
}

export async function joinServer(output: Output, options: JoinOptions, address: string): Promise<number> {
  const { signal } = new AbortController();
  const limits = await limitsOf(options);
  const identity = await nodeIdentity(address, options.token, options.name, signal);
  // Says in a moment what a worker would say after it has loaded its engine.
  if (!options.wait) await knock(address, identity, signal);
  const narrator = new WorkerNarrator(output.colors);
  let dismissed: string | undefined;
  const worker = startWorkerProcess({
    server: address,
    identity: identity?.path,
    name: options.name,
    engine: options.engine,
    pace: limits.share ?? 1,
    threads: options.threads,
    memoryBytes: limits.memoryBytes,
    listen: options.listen,
    maxUpload: limits.uploadBitsPerSecond,
    limits,
    link: options.link,
    allowCode: options.allowCode,
    wait: options.wait ?? false,
    lookFor: options.lookFor,
    stateFolder: userState(),
    onMessage: (message) => {
      show(message, narrator, output);
      if (message.type === 'ended' && message.error === undefined) dismissed = message.reason;
    },
    onLine: (line) => output.detail(line),
  });
  const interruption = new Interruption(
    () => {
      output.note('finishing what it holds, or handing it back; Ctrl-C again ends it at once');
      void worker.leave('the owner of the node stopped it');
    },
    () => worker.kill(),
  );
  const ended = await worker.ended();
  interruption.restore();
  if (!interruption.signal.aborted && dismissed === undefined) throw ended;
  if (dismissed !== undefined) output.note(`left: ${dismissed}`);
  output.note(`left after ${formatCount(narrator.samples)} samples`);
  return 0;
}

async function knock(address: string, identity: Awaited<ReturnType<typeof nodeIdentity>>, signal: AbortSignal): Promise<void> {
  const client = await connectClient(address, signal, identity?.credentials);
  if (identity !== undefined) await rememberAtStandby(client, identity.part, identity.credentials);
  client.close();
}

/** The owner's file, and what the command says instead. LongtailError `invalid-file`, `missing-file`. */
async function limitsOf(options: JoinOptions): Promise<OwnerLimits> {
  const { share, maxMemory, maxUpload, hours, onlyIdle, maxTemperature, maxPower } = options;
  const idleMs = onlyIdle === true ? (await fileFormats()).DEFAULT_IDLE_MS : onlyIdle;
  const given = { share, memoryBytes: maxMemory, uploadBitsPerSecond: maxUpload, hours, idleMs, celsius: maxTemperature, watts: maxPower };
  return { ...(await limitsFile(options.limits)), ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}

async function limitsFile(named: string | undefined): Promise<OwnerLimits> {
  const path = named ?? join(userConfig(), 'node.yaml');
  try {
    const text = await readFile(path, 'utf8');
    return (await fileFormats()).parseNodeFile(text, path);
  } catch (error) {
    if (error instanceof LongtailError) throw error;
    if (named === undefined && (error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new LongtailError(`the limits of this node cannot be read: ${(error as Error).message}`, { code: 'missing-file', where: path, cause: error });
  }
}

function show(message: WorkerMessage, narrator: WorkerNarrator, output: Output): void {
  if (message.type === 'event') {
    output.event({ ...message.event });
    for (const line of narrator.tell(message.event)) output.note(line);
  } else if (message.type === 'device') {
    output.event({ event: 'device', ...message.device, choice: message.choice });
    output.note(`${describeDevice(message.device)} (${message.choice})`);
  } else if (message.type === 'limits') {
    output.event({ event: 'limits', watched: message.watched });
    for (const line of message.watched) output.note(line);
  } else if (message.type === 'confined') {
    output.event({ event: 'confined', by: message.by, user: message.user });
    output.note(`jobs' modules run confined by ${message.by}: no files, no network, no environment, as user ${message.user}`);
  } else output.detail(JSON.stringify(message));
}
