import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { CodecName, DeviceInfo, PeerNetwork } from '@longtail/core';
import { createRng, LongtailError } from '@longtail/core';
import { userCache } from '@longtail/core/user-folders';
import { CODEC_IDS, createCodec, createErrorFeedback, createKernels, type Kernels } from '@longtail/kernels';
import type { WorkerEvent } from '@longtail/runtime/worker';
import { Pauses, runWorker } from '@longtail/runtime/worker';
import type { OwnerLimits } from '@longtail/spec';
import { claimIdentity, nodeFiles, type ClaimedIdentity } from '@longtail/store/node';
import {
  createCurveKeys,
  createTensorMemory,
  dial,
  EmulatedLink,
  hostName,
  openPeers,
  takeLocalOrders,
  UploadLimit,
  wallClock,
  type CurveKeys,
  type DialOptions,
  type LinkThrottle,
  type LocalControl,
} from '@longtail/transport';
import type { ComputeThreadOptions, ModulePolicy } from './compute/channel.js';
import { ComputeThread } from './compute/compute-thread.js';
import { findMechanism } from './confined/confined-model.js';
import { createFileCache } from './file-cache.js';
import type { KeptIdentity } from './kept-identity.js';
import { LimitWatch } from './owner/limit-watch.js';
import { thisMachine } from './owner/machine.js';

/** How often a machine is held against its owner's limits. */
const LOOK_EVERY_MS = 3000;

export interface WorkerOptions extends Omit<ComputeThreadOptions, 'modules'> {
  /** `host:port` of the server. */
  readonly server: string;
  /** File of its identity on a server that has certificates; undefined: it has none. */
  readonly identity: string | undefined;
  /** For people; the server gives the node its id. */
  readonly name: string;
  /** Address of this machine where other workers reach it; undefined: workers of this machine only. */
  readonly listen: string | undefined;
  /** Of all tensors together, by the owner's will; undefined: as fast as the link is. */
  readonly maxUploadBitsPerSecond: number | undefined;
  /** What else its owner allows: hours, idleness, temperature, power. */
  readonly limits: OwnerLimits;
  /** A link to emulate, for all that is sent and received; undefined: the machine's own. */
  readonly link: LinkThrottle | undefined;
  /** Values that a chunk has, as the server has it; undefined: as many as anywhere. */
  readonly chunkLength: number | undefined;
  /** Whether the owner lets jobs run their own modules here, and how; undefined: not. */
  readonly allowCode: AllowedCode | undefined;
  /** Keep trying when no server is there yet. */
  readonly wait: boolean;
  /** Where the node's id is kept; undefined: it gets a new one. */
  readonly stateFolder: string | undefined;
  /** How long to look for a server that went away. @default ten minutes */
  readonly reconnectForMs: number | undefined;
  /** Aborting it makes the worker leave the server and end. */
  readonly signal: AbortSignal;
  /** Aborted, here or by an order of its user, it makes the worker finish what it holds before that. */
  readonly finish: AbortController;
  onLimits(watched: readonly string[]): void;
  onDevice(device: DeviceInfo, choice: string): void;
  /** Modules will run confined, tried out: how, and as which user. */
  onConfined(by: string, user: number): void;
  onEvent(event: WorkerEvent): void;
}

export type AllowedCode = 'confined' | 'trusted';

/**
 * A worker, whole: the engine on its thread, the session on this one. Resolves with the reason when it has left.
 * Throws LongtailError `engine`, `refused` (also: it cannot confine modules), `protocol`, `unreachable`; `usage` for a limit that this
 * machine gives no way to keep.
 */
export async function startWorker(options: WorkerOptions): Promise<{ readonly reason: string }> {
  const { engine, pace, emulated, memoryBytes, threads } = options;
  const watch = await LimitWatch.open(options.limits, thisMachine());
  if (watch.watched.length > 0) options.onLimits(watch.watched);
  const modules = await modulePolicy(options);
  const compute = await ComputeThread.open({ engine, pace, emulated, memoryBytes, threads, modules }, AbortSignal.any([options.signal, options.finish.signal]));
  try {
    options.onDevice(compute.device, compute.choice);
    return await Promise.race([work(options, compute, watch), rejectWith(compute.died)]);
  } finally {
    await compute.close();
  }
}

async function modulePolicy({ allowCode, onConfined }: WorkerOptions): Promise<ModulePolicy> {
  if (allowCode !== 'confined') return allowCode ?? 'refused';
  const { mechanism, walls } = await findMechanism();
  onConfined(mechanism, walls.user);
  return mechanism;
}

async function work(options: WorkerOptions, compute: ComputeThread, watch: LimitWatch): Promise<{ readonly reason: string }> {
  const { maxUploadBitsPerSecond, listen: host } = options;
  const kernels = createKernels();
  const link = options.link && new EmulatedLink(options.link);
  const network: Network = {
    crc32c: (bytes) => kernels.crc32c(bytes),
    uploadLimit: maxUploadBitsPerSecond === undefined ? undefined : new UploadLimit(maxUploadBitsPerSecond),
    link,
    security: await securityOf(options),
  };
  const peers = await openPeers({ host, ...network, curve: network.security?.curve });
  const nodeId = options.stateFolder === undefined ? undefined : await claimIdentity(join(options.stateFolder, 'nodes'), options.name);
  const pauses = new Pauses();
  const ended = new AbortController();
  let control: LocalControl | undefined;
  try {
    pauses.set('limits', await watch.look());
    if (watch.watched.length > 0) void keepLooking(watch, pauses, ended.signal).catch(() => undefined); // the worker ends
    control = await takeOrders(options, pauses, nodeId);
    return await serve(options, compute, peers, network, kernels, nodeId, pauses);
  } finally {
    control?.close();
    ended.abort();
    nodeId?.release();
    await peers.close('the worker ends');
    link?.close();
  }
}

/** Where nobody encrypts, nothing of it is loaded: it takes a fifth of what all else does. */
async function securityOf({ identity, server, signal }: WorkerOptions): Promise<Network['security']> {
  if (identity === undefined) return undefined;
  const { KeptIdentity } = await import('./kept-identity.js');
  return { identity: new KeptIdentity(server, identity, signal), curve: createCurveKeys() };
}

async function keepLooking(watch: LimitWatch, pauses: Pauses, signal: AbortSignal): Promise<never> {
  for (;;) {
    await wallClock.sleep(LOOK_EVERY_MS, signal);
    pauses.set('limits', await watch.look());
  }
}

/** Those of its user, on this machine. */
async function takeOrders({ stateFolder, name, server, finish }: WorkerOptions, pauses: Pauses, nodeId: ClaimedIdentity | undefined): Promise<LocalControl | undefined> {
  if (stateFolder === undefined) return undefined;
  return takeLocalOrders(join(stateFolder, 'control'), ({ order, reason }) => {
    if (order === 'drain') finish.abort(new LongtailError(reason || 'its owner drains it', { code: 'cancelled' }));
    else pauses.set('owner', order === 'pause' ? reason || 'its owner wants it so' : '');
    return { name, node: nodeId!.node, server, paused: pauses.paused };
  });
}

/** What sessions and direct links have in common. */
type Network = Pick<DialOptions, 'crc32c' | 'uploadLimit' | 'link'> & {
  readonly security: { readonly identity: KeptIdentity; readonly curve: CurveKeys } | undefined;
};

function serve(
  options: WorkerOptions,
  compute: ComputeThread,
  peers: PeerNetwork,
  network: Network,
  kernels: Kernels,
  nodeId: ClaimedIdentity | undefined,
  owner: Pauses,
): Promise<{ readonly reason: string }> {
  const memory = createTensorMemory();
  return runWorker({
    dial: async (hello, signal, address = options.server) => {
      const security = network.security && { curve: network.security.curve, credentials: await network.security.identity.current(signal, address) };
      return dial(address, { hello, signal, memory, ...network, security });
    },
    allocate: (bytes) => memory.allocate(bytes),
    compute,
    peers,
    fileCache: createFileCache(userCache(), nodeFiles()),
    codecs: (Object.keys(CODEC_IDS) as CodecName[]).map((name) => createCodec(name, kernels)),
    createFeedback: (length, topK) => createErrorFeedback({ length, topK }),
    crc32c: network.crc32c,
    clock: wallClock,
    chunkLength: options.chunkLength,
    rng: createRng(randomBytes(16).toString('hex')),
    signal: options.signal,
    finish: options.finish.signal,
    owner,
    name: options.name,
    allowCode: options.allowCode !== undefined,
    host: hostName(),
    maxUploadBitsPerSecond: options.maxUploadBitsPerSecond,
    wait: options.wait,
    reconnectForMs: options.reconnectForMs,
    identity: nodeId,
    log: options.onEvent,
  });
}

async function rejectWith(error: Promise<Error>): Promise<never> {
  throw await error;
}
