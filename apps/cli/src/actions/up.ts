import { join, resolve } from 'node:path';
import { LongtailError } from '@longtail/core';
import { isLoopback, openAccess, startServer } from '@longtail/parameter-server';
import { openCheckpointStore, openDatabase, userState } from '@longtail/store';
import { formatAddress, parseAddress, wallClock } from '@longtail/transport';
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
  readonly state?: string;
  readonly database?: string;
  readonly checkpoints?: string;
}

export async function up(output: Output, options: UpOptions): Promise<number> {
  const { host, insecure = false, tls = !isLoopback(host) && !insecure } = options;
  if (tls && insecure) throw new LongtailError('--tls and --insecure at once', { code: 'usage', hint: 'Leave one of them out.' });
  const state = resolve(options.state ?? join(userState(), 'server'));
  const database = await openDatabase(databaseOf(options, state));
  try {
    const checkpoints = options.checkpoints === undefined ? undefined : await openCheckpointStore(options.checkpoints);
    const access = tls ? await openAccess(state, database.access, wallClock.nowMs) : undefined;
    const server = await startServer({
      host,
      port: options.port,
      runsFolder: resolve(options.runs),
      database,
      checkpoints,
      version: VERSION,
      access,
      insecure,
      log: serverLog(output),
    });
    await access?.enrolOwner(keptIdentity(ownAddress(server.address), 'client'));
    output.event({ event: 'listening', address: server.address });
    output.note(`listening on ${server.address}; runs go to ${resolve(options.runs)}`);
    if (options.database !== undefined) output.note(`runs, nodes and who is let in stand in ${database.name}`);
    if (checkpoints !== undefined) output.note(`checkpoints go to ${checkpoints.name}`);
    if (access !== undefined) output.note('let others in with:  longtail token create');
    output.note(`workers join with:  longtail join ${server.address}${access === undefined ? '' : ' --token -'}`);
    output.note(`launch a job with:  longtail launch job.yaml --server ${server.address}`);
    const interruption = new Interruption(() => output.note('closing; runs are cancelled and saved (Ctrl-C again to leave at once)'));
    await new Promise((resolve) => interruption.signal.addEventListener('abort', resolve));
    await server.close('the server was stopped');
    interruption.restore();
  } finally {
    await database.close();
  }
  return 0;
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
