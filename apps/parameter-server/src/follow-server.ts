import { randomBytes } from 'node:crypto';
import { createRng, LongtailError, type CodecName } from '@longtail/core';
import { CODEC_IDS, createCodec, createKernels } from '@longtail/kernels';
import { Standby, type FileCache, type StandbyEvent } from '@longtail/runtime';
import { dial, wallClock } from '@longtail/transport';
import { composeShard } from './compose-shard.js';
import { FollowedRuns } from './followed-runs.js';
import type { RunDescription } from './run-store.js';
import type { ServerOptions, Takeover } from './start-server.js';
import { StandbyPort } from './standby-port.js';

export interface StandbyOptions extends Pick<ServerOptions, 'host' | 'port' | 'runsFolder' | 'version' | 'log'> {
  /** Address of the server to follow. */
  readonly standbyOf: string;
  readonly fileCache: FileCache;
  onEvent(event: StandbyEvent): void;
  readonly signal: AbortSignal;
}

/**
 * Follows a server that has no certificates until it is dead. Resolves with what `startServer` goes on with; undefined when it ended in
 * order. Throws LongtailError `address-in-use`, `unreachable`, `refused` where it cannot follow, and the signal's reason.
 */
export async function followServer(options: StandbyOptions): Promise<Takeover | undefined> {
  const { host, port, log, runsFolder, standbyOf, fileCache, version, signal } = options;
  const kernels = createKernels();
  const followed = new FollowedRuns(runsFolder);
  const ports = await StandbyPort.open({ host, port, version, server: standbyOf, log, witness: (node) => standby.witness(node), ready: () => standby.ready });
  const standby: Standby = new Standby({
    address: ports.address,
    dial: (hello, until) => dial(standbyOf, { hello, crc32c: (bytes) => kernels.crc32c(bytes), memory: ports.memory, signal: until }),
    clock: wallClock,
    rng: createRng(randomBytes(16).toString('hex')),
    codecs: (Object.keys(CODEC_IDS) as CodecName[]).map((name) => createCodec(name, kernels)),
    createShard: composeShard,
    fileCache,
    openStore: (run, description) => followed.open(run, description as RunDescription),
    log(event) {
      if (event.event === 'problem') log.error({ run: event.run, hint: event.error.hint }, `cannot follow: ${event.error.message}`);
      options.onEvent(event);
    },
    signal,
  });
  try {
    const outcome = await standby.follow();
    if (outcome.outcome === 'takeover') {
      const { runs, epoch, from, silentMs, reason } = outcome.succession;
      const succession = { from, address: ports.address, epoch, silentMs };
      return { ports, runs: await followed.handOver(runs), succession, reason: `taken over from ${from}: ${reason}` };
    }
  } catch (error) {
    await ports.close('the standby ends');
    throw LongtailError.from(error);
  }
  await ports.close('the server has ended');
  return undefined;
}
