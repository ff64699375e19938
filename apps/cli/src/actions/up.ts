import { join, resolve } from 'node:path';
import { LongtailError } from '@longtail/core';
import { userCache, userState } from '@longtail/core/user-folders';
import { followServer, isLoopback, openAccess, startServer, type StandbyOptions, type Takeover } from '@longtail/parameter-server';
import { nodeFiles, openCheckpointStore, openDatabase } from '@longtail/store';
import { wallClock } from '@longtail/transport';
import { createFileCache, KeptIdentity } from '@longtail/worker';
import { keptIdentity, partIdentity } from '../process/identity.js';
import { Interruption } from '../process/interruption.js';
import { isWildcard, reachedAt, reachedHereAt } from '../process/reached-at.js';
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
  readonly token?: string;
  readonly state?: string;
  readonly database?: string;
  readonly checkpoints?: string;
}

export async function up(output: Output, options: UpOptions): Promise<number> {
  const { host, insecure = false, token, standbyOf, tls = !isLoopback(host) && !insecure } = options;
  if (tls && insecure) throw new LongtailError('--tls and --insecure at once', { code: 'usage', hint: 'Leave one of them out.' });
  const state = resolve(options.state ?? join(userState(), 'server'));
  const own = { host, port: options.port, runsFolder: resolve(options.runs), version: VERSION, log: serverLog(output) };
  const interruption = new Interruption(() => output.note('closing; runs are cancelled and saved (Ctrl-C again to leave at once)'));
  const { signal } = interruption;
  let takeover: Takeover | undefined;
  if (standbyOf !== undefined) {
    const identity = insecure ? undefined : await standbyIdentity(standbyOf, token, tls, signal);
    takeover = await standBy(output, standbyOf, { ...own, stateFolder: state, identity }, signal);
    if (takeover === undefined) return 0;
  }
  const secured = takeover === undefined ? tls : takeover.access !== undefined;
  const database = await openDatabase(databaseOf(options, state));
  try {
    const checkpoints = options.checkpoints === undefined ? undefined : await openCheckpointStore(options.checkpoints);
    const access = secured ? await openAccess(state, database.access, wallClock.nowMs, takeover?.access) : undefined;
    const server = await startServer({
      ...own,
      database,
      checkpoints,
      heartbeatMs: options.heartbeat,
      access,
      insecure,
      takeover,
    });
    const here = reachedHereAt(server.address);
    const [there, ...elsewhere] = reachedAt(server.address);
    await access?.enrolOwner(keptIdentity(here, 'client'));
    output.event({ event: 'listening', address: server.address });
    output.note(`listening on ${server.address}; runs go to ${own.runsFolder}`);
    if (options.database !== undefined) output.note(`runs, nodes and who is let in stand in ${database.name}`);
    if (checkpoints !== undefined) output.note(`checkpoints go to ${checkpoints.name}`);
    if (access !== undefined) output.note(`let others in with:  longtail token create --server ${here}`);
    output.note(`workers join with:  longtail join ${there}${access === undefined ? '' : ' --token -'}`);
    output.note(`launch a job with:  longtail launch job.yaml --server ${there}`);
    if (elsewhere.length > 0) output.note(`this machine is also at ${elsewhere.join(', ')}`);
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

/** What it is there; undefined: it goes without certificates. LongtailError `usage` where it needs some, and there are none. */
async function standbyIdentity(standbyOf: string, token: string | undefined, tls: boolean, signal: AbortSignal): Promise<KeptIdentity | undefined> {
  const kept = await partIdentity(standbyOf, 'standby', token, signal);
  if (kept !== undefined) return new KeptIdentity(standbyOf, kept.path, signal);
  if (!tls) return undefined;
  throw new LongtailError(`this machine is not enrolled as a standby of ${standbyOf}`, {
    code: 'usage',
    where: '--standby-of',
    hint: 'On the server: longtail token create --role standby; then add --token - and paste what it prints. Or --insecure, where the server has no certificates.',
  });
}

/** Until the server there is dead, and this one is it; undefined when one of the two was stopped. */
async function standBy(
  output: Output,
  standbyOf: string,
  own: Omit<StandbyOptions, 'standbyOf' | 'fileCache' | 'onEvent' | 'signal'>,
  signal: AbortSignal,
): Promise<Takeover | undefined> {
  if (isWildcard(own.host)) {
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
