import { randomBytes } from 'node:crypto';
import type { Credentials } from '@longtail/access';
import { createRng, LongtailError, type CodecName } from '@longtail/core';
import { CODEC_IDS, createCodec, createKernels } from '@longtail/kernels';
import { Standby, type FileCache, type StandbyEvent } from '@longtail/runtime';
import { createCurveKeys, dial, receiveAuthority, wallClock } from '@longtail/transport';
import { composeShard } from './compose-shard.js';
import { StandbyAccess } from './standby-access.js';
import { FollowedRuns } from './followed-runs.js';
import { checkAuthority } from './open-access.js';
import type { RunDescription } from './run-store.js';
import type { ServerOptions, Takeover } from './start-server.js';
import { StandbyPort } from './standby-port.js';

export interface StandbyOptions extends Pick<ServerOptions, 'host' | 'port' | 'runsFolder' | 'version' | 'log'> {
  /** Address of the server to follow. */
  readonly standbyOf: string;
  /** What it is there, and the folder that will have its authority; undefined: the server has no certificates. */
  readonly identity: { current(signal: AbortSignal): Promise<Credentials> } | undefined;
  readonly stateFolder: string;
  readonly fileCache: FileCache;
  onEvent(event: StandbyEvent): void;
  readonly signal: AbortSignal;
}

/**
 * Follows a server until it is dead. Resolves with what `startServer` goes on with; undefined when it ended in order. Throws LongtailError
 * `address-in-use`, `unreachable`, `refused` where it cannot follow, `usage` where the folder is another server's, and the signal's reason.
 */
export async function followServer(options: StandbyOptions): Promise<Takeover | undefined> {
  const { host, port, log, runsFolder, standbyOf, identity, fileCache, version, signal } = options;
  const kernels = createKernels();
  const followed = new FollowedRuns(runsFolder);
  const access = identity && (await receiveAccess(options, await identity.current(signal)));
  const curve = createCurveKeys();
  const ports = await StandbyPort.open({ host, port, version, server: standbyOf, log, access, witness: (node) => standby.witness(node), restarted: () => standby.restarted(), ordered: (force) => standby.order(force), ready: () => standby.ready });
  const standby: Standby = new Standby({
    address: ports.address,
    async dial(hello, until) {
      const security = identity && { credentials: await identity.current(until), curve };
      return dial(standbyOf, { hello, crc32c: (bytes) => kernels.crc32c(bytes), memory: ports.memory, security, signal: until });
    },
    clock: wallClock,
    rng: createRng(randomBytes(16).toString('hex')),
    codecs: (Object.keys(CODEC_IDS) as CodecName[]).map((name) => createCodec(name, kernels)),
    createShard: composeShard,
    fileCache,
    holdAccess: (entries, anew) => access?.hold(entries, anew),
    openStore: (run, description) => followed.open(run, description as RunDescription),
    log(event) {
      if (event.event === 'problem') log.error({ run: event.run, hint: event.error.hint }, `cannot follow: ${event.error.message}`);
      if (event.event === 'differs') log.warn({ run: event.run, version: event.version }, 'the copy of this version is not what the server wrote down: it is sent anew');
      options.onEvent(event);
    },
    signal,
  });
  try {
    const outcome = await standby.follow();
    if (outcome.outcome === 'takeover') {
      const { runs, epoch, from, silentMs, reason } = outcome.succession;
      const succession = { from, address: ports.address, epoch, silentMs };
      return { ports, access: access?.inherited, runs: await followed.handOver(runs), succession, reason: `taken over from ${from}: ${reason}` };
    }
  } catch (error) {
    await ports.close('the standby ends');
    throw LongtailError.from(error);
  }
  await ports.close('the server has ended');
  return undefined;
}

async function receiveAccess({ standbyOf, stateFolder, signal }: StandbyOptions, credentials: Credentials): Promise<StandbyAccess> {
  const authority = await receiveAuthority(standbyOf, credentials, signal);
  await checkAuthority(stateFolder, authority);
  return StandbyAccess.open(authority, wallClock.nowMs);
}
