import { randomBytes } from 'node:crypto';
import { isIPv4 } from 'node:net';
import type { CodecName } from '@longtail/core';
import { createRng, LongtailError } from '@longtail/core';
import { createLeaseBook } from '@longtail/data';
import { CODEC_IDS, createCodec, createKernels, learningRateAt } from '@longtail/kernels';
import { codingTimes } from '@longtail/layout';
import type { Hello } from '@longtail/protocol';
import type { Resumption, Server, ServerConnection } from '@longtail/runtime';
import { createServer } from '@longtail/runtime';
import { createSchedule } from '@longtail/schedule';
import { balancedShares, chooseSync, createStrategy } from '@longtail/sync';
import { BESIDE_LOGS, createRun, makeFolder, type CheckpointStore, type Database, type RunOwner } from '@longtail/store';
import { createTensorMemory, hostName, listen, wallClock, type ServerAccess, type TensorMemory } from '@longtail/transport';
import type { Logger } from 'pino';
import { composeShard } from './compose-shard.js';
import { createControlService } from './control-service.js';
import { inspectOnThread } from './inspect-data.js';
import { JobDesk } from './job-desk.js';
import { layoutBeside } from './layout-beside.js';
import type { Access, InheritedAccess } from './open-access.js';
import { PastRuns, type Inherited } from './past-runs.js';
import { RunRegister } from './run-register.js';
import { runStore } from './run-store.js';
import type { StandbyPort } from './standby-port.js';
import { Succession } from './succession.js';

/** It was the standby of another server, and goes on with what it followed. */
export interface Takeover {
  readonly ports: StandbyPort;
  /** Undefined: everybody is let in. */
  readonly access: InheritedAccess | undefined;
  readonly runs: readonly Inherited[];
  readonly succession: NonNullable<Resumption['succession']>;
  readonly reason: string;
}

export interface ServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Folder in which each run gets one of its own. */
  readonly runsFolder: string;
  /** Of runs and nodes; whoever opened it closes it. */
  readonly database: Database;
  /** Where the runs' checkpoints go. @default their folders */
  readonly checkpoints?: CheckpointStore;
  readonly version: string;
  /** Nodes that are silent for three of these are gone. @default 2000 */
  readonly heartbeatMs?: number | undefined;
  /** Values that a chunk has, as workers have it; undefined: as many as anywhere. */
  readonly chunkLength?: number | undefined;
  /** As many nodes as there will ever be; undefined: any number. */
  readonly fleetSize?: number | undefined;
  /** Lets in only who has enrolled, and encrypts; undefined: everybody, in the clear. */
  readonly access?: Access | undefined;
  /** Beyond this machine without `access`, on purpose. */
  readonly insecure: boolean;
  readonly takeover?: Takeover | undefined;
  readonly log: Logger;
}

export interface RunningServer {
  /** What workers and clients dial. */
  readonly address: string;
  /** Resolves with why it must end at once when its standby has taken over: what it does counts for nothing. */
  readonly succeeded: Promise<LongtailError>;
  /** Cancels what runs (models are saved), writes the verdicts, ends the sessions and frees the ports. */
  close(reason: string): Promise<void>;
}

/**
 * The parameter server, whole: membership, runs, storage, and the sockets.
 * Throws LongtailError `address-in-use`, `unreachable` (no such address here), `usage`, `storage`.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { host, port, access, runsFolder, database, checkpoints = BESIDE_LOGS, takeover, log } = options;
  if (!isLoopback(host) && access === undefined && !options.insecure) throw refuseInsecure(host);
  await makeFolder('keep the runs', runsFolder);
  const kernels = createKernels();
  const desk = new JobDesk(inspectOnThread);
  const memory = takeover?.ports.memory ?? createTensorMemory();
  const owner: RunOwner = { address: `${host}:${port}`, pid: process.pid };
  const succession = await Succession.open(runsFolder, log, access);
  if (takeover === undefined) await succession.refuseIfSucceeded();
  else await succession.begin(takeover.succession.epoch);
  const register = new RunRegister({ table: database.runs, runsFolder, owner });
  const server = composeServer(options, desk, owner, register, memory, succession);
  const past = new PastRuns({ server, desk, register, checkpoints, owner, log });
  database.onTrouble = (error) => {
    if (error === undefined) log.info({ database: database.name }, 'the database has all rows again');
    else log.warn({ database: database.name, hint: error.hint }, `${error.message} Runs go on; rows wait for it.`);
  };
  const listened = access && withStandby(access, () => (server.standbyKnowsAccess ? '' : succession.standbyAddress));
  const control = createControlService({ server, desk, past, register, nodes: database.nodes, log });
  const onSession = (connection: ServerConnection, hello: Hello) => {
    if (hello.standbyAddress === '') log.info({ worker: hello.name, engine: hello.device.engine, device: hello.device.description }, 'worker joined');
    else log.info({ standby: hello.standbyAddress }, 'standby joined');
    server.onSession(connection, hello);
  };
  const listener = takeover?.ports.serve(control, listened, onSession) ?? await listen({
    host,
    port,
    control,
    crc32c: (bytes) => kernels.crc32c(bytes),
    memory,
    access: listened,
    onSession,
    onDropped: (reason) => log.warn({ reason }, 'connection dropped'),
    signal: new AbortController().signal,
  });
  log.info({ address: listener.address, tensorPort: listener.tensorPort }, 'listening');
  // The port is ours by now: no other server goes on with these runs.
  if (takeover === undefined) await past.resumeUnfinished();
  else await past.inherit(takeover.runs, takeover.succession, takeover.reason);
  return {
    address: listener.address,
    succeeded: succession.over,
    async close(reason) {
      log.info({ reason }, 'closing');
      await server.close(reason);
      await listener.close(reason);
      memory.close();
    },
  };
}

function composeServer(
  { version, heartbeatMs, chunkLength, fleetSize, access, runsFolder, database, checkpoints, log }: ServerOptions,
  desk: JobDesk,
  owner: RunOwner,
  register: RunRegister,
  memory: TensorMemory,
  succession: Succession,
): Server {
  const kernels = createKernels();
  return createServer(
    {
      clock: wallClock,
      rng: createRng(randomBytes(16).toString('hex')),
      codecs: (Object.keys(CODEC_IDS) as CodecName[]).map((name) => createCodec(name, kernels)),
      allocate: (bytes) => memory.allocate(bytes),
      async openRun(job) {
        const { document, ...notes } = desk.notesOf(job);
        const folder = await createRun(runsFolder, job, { now: wallClock.nowMs, owner, document, checkpoints });
        return register.track(runStore(folder, notes), folder);
      },
      nodeSeen: ({ node, name, device }) => database.nodes.seen({ node, name, engine: device.engine, device: device.description }, wallClock.nowMs()),
      createShard: composeShard,
      createLeases: ({ train }, samplesPerEpoch, state) =>
        createLeaseBook({ samplesPerEpoch, epochs: train.epochs, maxSamples: train.maxSamples, state }),
      strategy: ({ sync }) => createStrategy(sync),
      chooseSync: (job, fleet, standing) => chooseSync(job, { ...fleet, coding: codingTimes() }, standing),
      shares: balancedShares(),
      layout: layoutBeside((job) => desk.profileOf(job)),
      schedule: createSchedule,
      linkKey: () => randomBytes(16).toString('hex'),
      learningRate: learningRateAt,
    },
    {
      version,
      heartbeatMs,
      chunkLength,
      fleetSize,
      epoch: succession.epoch,
      onStandby: (address) => succession.standby(address),
      host: hostName(),
      standbyGone: () => succession.standbyGone(),
      commitsWait: (standby) => log.warn({ standby }, 'commits wait: the standby and too many of the nodes that it knows are out of reach, and it may have taken over; start it again, or this server'),
      access: access?.book,
      accessBehind: (standby) => log.warn({ standby }, 'the standby does not know yet that somebody was let in or shut out'),
      outrun: () => void succession.suspect(),
    },
  );
}

/** Says where the standby is that does not know yet that somebody was shut out; empty: nobody is. */
function withStandby(access: Access, unaware: () => string): ServerAccess {
  return { ...access, revoke: async (request) => ({ ...(await access.revoke(request)), unaware: unaware() }) };
}

/** Only this machine reaches it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
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
