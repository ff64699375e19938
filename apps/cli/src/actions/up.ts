import { join, resolve } from 'node:path';
import { LongtailError } from '@longtail/core';
import { isLoopback, openAccess, startServer, startStandby, type RunningServer, type ServerOptions } from '@longtail/parameter-server';
import { nodeFiles, userCache, userState } from '@longtail/store';
import { formatAddress, parseAddress, wallClock } from '@longtail/transport';
import { createFileCache } from '@longtail/worker';
import { keptIdentity } from '../process/identity.js';
import { Interruption } from '../process/interruption.js';
import { serverLog } from '../terminal/server-log.js';
import type { Output } from '../terminal/output.js';
import { VERSION } from '../version.js';

interface UpOptions {
  readonly host: string;
  readonly port: number;
  readonly runs: string;
  readonly tls?: boolean;
  readonly insecure?: boolean;
  readonly standbyOf?: string;
  readonly state?: string;
}

export async function up(output: Output, options: UpOptions): Promise<number> {
  const { host, insecure = false, tls = !isLoopback(host) && !insecure } = options;
  if (tls && insecure) throw new LongtailError('--tls and --insecure at once', { code: 'usage', hint: 'Leave one of them out.' });
  if (tls && options.standbyOf !== undefined) {
    throw new LongtailError('a standby does not follow a server with certificates', { code: 'usage', where: '--standby-of', hint: 'Start both with --insecure, on a network you trust.' });
  }
  const access = tls ? await openAccess(resolve(options.state ?? join(userState(), 'server')), wallClock.nowMs) : undefined;
  const own = { host, port: options.port, runsFolder: resolve(options.runs), version: VERSION, access, insecure, log: serverLog(output) };
  const interruption = new Interruption(() => output.note('closing; runs are cancelled and saved (Ctrl-C again to leave at once)'));
  const { signal } = interruption;
  const server = options.standbyOf === undefined ? await startServer(own) : await standBy(output, options.standbyOf, own, signal);
  if (server === undefined) return 0;
  await access?.enrolOwner(keptIdentity(ownAddress(server.address), 'client'));
  output.event({ event: 'listening', address: server.address });
  output.note(`listening on ${server.address}; runs go to ${own.runsFolder}`);
  if (access !== undefined) output.note('let others in with:  longtail token create');
  output.note(`workers join with:  longtail join ${server.address}${access === undefined ? '' : ' --token …'}`);
  output.note(`launch a job with:  longtail launch job.yaml --server ${server.address}`);
  const stopped = new Promise<undefined>((done) => signal.addEventListener('abort', () => done(undefined)));
  const succeeded = signal.aborted ? undefined : await Promise.race([stopped, server.succeeded]);
  if (succeeded !== undefined) throw succeeded;
  await server.close('the server was stopped');
  interruption.restore();
  return 0;
}

/** Until the server there is dead, and this one is it; undefined when one of the two was stopped. */
async function standBy(output: Output, standbyOf: string, own: ServerOptions, signal: AbortSignal): Promise<RunningServer | undefined> {
  if (own.host === '0.0.0.0' || own.host === '::') {
    throw new LongtailError('a standby says where others reach it', { code: 'usage', where: `--host ${own.host}`, hint: 'Name the address of this machine: --host 10.0.0.6.' });
  }
  try {
    const server = await startStandby({
      ...own,
      standbyOf,
      fileCache: createFileCache(userCache(), nodeFiles()),
      signal,
      onEvent(event) {
        if (event.event !== 'problem') output.event({ ...event });
        if (event.event === 'following') output.note(`the standby of ${event.server}: follows its runs, and takes over when it dies`);
        if (event.event === 'lost') output.note(`${event.server} is gone: ${event.reason}`);
      },
    });
    output.note(server === undefined ? `${standbyOf} has ended in order` : `has taken over from ${standbyOf}`);
    return server;
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

/** Where this machine reaches a server that listens there. */
function ownAddress(address: string): string {
  const { host, port } = parseAddress(address);
  return formatAddress({ host: host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host, port });
}
