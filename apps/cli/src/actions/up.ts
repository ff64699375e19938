import { join, resolve } from 'node:path';
import { LongtailError } from '@longtail/core';
import { followServer, isLoopback, openAccess, startServer, type StandbyOptions, type Takeover } from '@longtail/parameter-server';
import { nodeFiles, openCheckpointStore, openDatabase, userCache, userState } from '@longtail/store';
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
  readonly heartbeat?: number;
  readonly state?: string;
  readonly database?: string;
  readonly checkpoints?: string;
}

export async function up(output: Output, options: UpOptions): Promise<number> {
  const { host, insecure = false, tls = !isLoopback(host) && !insecure } = options;
  if (tls && insecure) throw new LongtailError('--tls and --insecure at once', { code: 'usage', hint: 'Leave one of them out.' });
  if (tls && options.standbyOf !== undefined) {
    throw new LongtailError('a standby does not follow a server with certificates', { code: 'usage', where: '--standby-of', hint: 'Start both with --insecure, on a network you trust.' });
  }
  const own = { host, port: options.port, runsFolder: resolve(options.runs), version: VERSION, log: serverLog(output) };
  const interruption = new Interruption(() => output.note('closing; runs are cancelled and saved (Ctrl-C again to leave at once)'));
  const { signal } = interruption;
  const takeover = options.standbyOf === undefined ? undefined : await standBy(output, options.standbyOf, own, signal);
  if (options.standbyOf !== undefined && takeover === undefined) return 0;
  const state = resolve(options.state ?? join(userState(), 'server'));
  const database = await openDatabase(databaseOf(options, state));
  try {
    const checkpoints = options.checkpoints === undefined ? undefined : await openCheckpointStore(options.checkpoints);
    const access = tls ? await openAccess(state, database.access, wallClock.nowMs) : undefined;
    const server = await startServer({
      ...own,
      database,
      checkpoints,
      heartbeatMs: options.heartbeat,
      access,
      insecure,
      takeover,
    });
    await access?.enrolOwner(keptIdentity(ownAddress(server.address), 'client'));
    output.event({ event: 'listening', address: server.address });
    output.note(`listening on ${server.address}; runs go to ${own.runsFolder}`);
    if (options.database !== undefined) output.note(`runs, nodes and who is let in stand in ${database.name}`);
    if (checkpoints !== undefined) output.note(`checkpoints go to ${checkpoints.name}`);
    if (access !== undefined) output.note('let others in with:  longtail token create');
    output.note(`workers join with:  longtail join ${server.address}${access === undefined ? '' : ' --token -'}`);
    output.note(`launch a job with:  longtail launch job.yaml --server ${server.address}`);
    const stopped = new Promise<undefined>((done) => signal.addEventListener('abort', () => done(undefined)));
    const succeeded = signal.aborted ? undefined : await Promise.race([stopped, server.succeeded]);
    if (succeeded !== undefined) throw succeeded;
    await server.close('the server was stopped');
    interruption.restore();
  } finally {
    await database.close();
  }
  return 0;
}

/** Until the server there is dead, and this one is it; undefined when one of the two was stopped. */
async function standBy(
  output: Output,
  standbyOf: string,
  own: Omit<StandbyOptions, 'standbyOf' | 'fileCache' | 'onEvent' | 'signal'>,
  signal: AbortSignal,
): Promise<Takeover | undefined> {
  if (own.host === '0.0.0.0' || own.host === '::') {
    throw new LongtailError('a standby says where others reach it', { code: 'usage', where: `--host ${own.host}`, hint: 'Name the address of this machine: --host 10.0.0.6.' });
  }
  try {
    const takeover = await followServer({
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
    output.note(takeover === undefined ? `${standbyOf} has ended in order` : `takes over from ${standbyOf}`);
    return takeover;
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

function databaseOf({ database }: UpOptions, state: string): string {
  if (database === undefined) return join(state, 'longtail.db');
  // What lists processes shows their arguments; from here on it shows this.
  if (process.argv.some((argument) => argument.includes('://'))) process.title = 'longtail up';
  return database;
}

/** Where this machine reaches a server that listens there. */
function ownAddress(address: string): string {
  const { host, port } = parseAddress(address);
  return formatAddress({ host: host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host, port });
}
