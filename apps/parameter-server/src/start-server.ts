import { randomBytes } from 'node:crypto';
import type { CodecName } from '@longtail/core';
import { createRng, LongtailError } from '@longtail/core';
import { createLeaseBook } from '@longtail/data';
import { CODEC_IDS, createCodec, createKernels, learningRateAt } from '@longtail/kernels';
import type { Server } from '@longtail/runtime';
import { createServer } from '@longtail/runtime';
import { createSchedule } from '@longtail/schedule';
import { balancedShares, chooseSync, createStrategy } from '@longtail/sync';
import { createRun, type RunOwner } from '@longtail/store';
import { createTensorMemory, listen, wallClock, type ServerAccess, type TensorMemory } from '@longtail/transport';
import type { Logger } from 'pino';
import { composeShard } from './compose-shard.js';
import { createControlService } from './control-service.js';
import { inspectOnThread } from './inspect-data.js';
import { JobDesk } from './job-desk.js';
import { plannedLayout } from './planned-layout.js';
import { PastRuns } from './past-runs.js';
import { runStore } from './run-store.js';

export interface ServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Folder in which each run gets one of its own. */
  readonly runsFolder: string;
  readonly version: string;
  /** Lets in only who has enrolled, and encrypts; undefined: everybody, in the clear. */
  readonly access?: ServerAccess;
  /** Beyond this machine without `access`, on purpose. */
  readonly insecure: boolean;
  readonly log: Logger;
}

export interface RunningServer {
  /** What workers and clients dial. */
  readonly address: string;
  /** Cancels what runs (models are saved), writes the verdicts, ends the sessions and frees the ports. */
  close(reason: string): Promise<void>;
}

/**
 * The parameter server, whole: membership, runs, storage, and the sockets.
 * Throws LongtailError `address-in-use`, `unreachable` (no such address here), `usage`.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { host, port, access, log } = options;
  if (!isLoopback(host) && access === undefined && !options.insecure) throw refuseInsecure(host);
  const kernels = createKernels();
  const desk = new JobDesk(inspectOnThread);
  const memory = createTensorMemory();
  const owner: RunOwner = { address: `${host}:${port}`, pid: process.pid };
  const server = composeServer(options, desk, owner, memory);
  const past = new PastRuns({ server, desk, runsFolder: options.runsFolder, owner, log });
  const listener = await listen({
    host,
    port,
    control: createControlService({ server, desk, past, log }),
    crc32c: (bytes) => kernels.crc32c(bytes),
    memory,
    access,
    onSession: (connection, hello) => {
      log.info({ worker: hello.name, engine: hello.device.engine, device: hello.device.description }, 'worker joined');
      server.onSession(connection, hello);
    },
    onDropped: (reason) => log.warn({ reason }, 'connection dropped'),
    signal: new AbortController().signal,
  });
  log.info({ address: listener.address, tensorPort: listener.tensorPort }, 'listening');
  // The port is ours by now: no other server goes on with these runs.
  await past.resumeUnfinished();
  return {
    address: listener.address,
    async close(reason) {
      log.info({ reason }, 'closing');
      await server.close(reason);
      await listener.close(reason);
      memory.close();
    },
  };
}

function composeServer(
  { version, runsFolder }: ServerOptions,
  desk: JobDesk,
  owner: RunOwner,
  memory: TensorMemory,
): Server {
  const kernels = createKernels();
  return createServer(
    {
      clock: wallClock,
      rng: createRng(randomBytes(16).toString('hex')),
      codecs: (Object.keys(CODEC_IDS) as CodecName[]).map((name) => createCodec(name, kernels)),
      allocate: (bytes) => memory.allocate(bytes),
      async openRun(job) {
        const { model, document } = desk.notesOf(job);
        return runStore(await createRun(runsFolder, job, { now: wallClock.nowMs, owner, document }), model);
      },
      createShard: composeShard,
      createLeases: ({ train }, samplesPerEpoch, state) =>
        createLeaseBook({ samplesPerEpoch, epochs: train.epochs, maxSamples: train.maxSamples, state }),
      strategy: ({ sync }) => createStrategy(sync),
      chooseSync,
      shares: balancedShares(),
      layout: plannedLayout((job) => desk.profileOf(job)),
      schedule: createSchedule,
      linkKey: () => randomBytes(16).toString('hex'),
      learningRate: learningRateAt,
    },
    { version },
  );
}

/** Only this machine reaches it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function refuseInsecure(host: string): LongtailError {
  return new LongtailError(
    `Listening on ${host} without certificates would let anybody on that network join, launch and read along.`,
    {
      code: 'usage',
      where: `--host ${host}`,
      hint: 'Use --tls; or --insecure, on a network you trust.',
    },
  );
}
