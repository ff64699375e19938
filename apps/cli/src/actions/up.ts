import { resolve } from 'node:path';
import { startServer } from '@longtail/parameter-server';
import { Interruption } from '../process/interruption.js';
import { serverLog } from '../terminal/server-log.js';
import type { Output } from '../terminal/output.js';
import { VERSION } from '../version.js';

interface UpOptions {
  readonly host: string;
  readonly port: number;
  readonly runs: string;
  readonly insecure?: boolean;
}

export async function up(output: Output, options: UpOptions): Promise<number> {
  const server = await startServer({
    host: options.host,
    port: options.port,
    runsFolder: resolve(options.runs),
    version: VERSION,
    insecure: options.insecure ?? false,
    log: serverLog(output),
  });
  output.event({ event: 'listening', address: server.address });
  output.note(`listening on ${server.address}; runs go to ${resolve(options.runs)}`);
  output.note(`workers join with:  longtail join ${server.address}`);
  output.note(`launch a job with:  longtail launch job.yaml --server ${server.address}`);
  const interruption = new Interruption(() => output.note('closing; runs are cancelled and saved (Ctrl-C again to leave at once)'));
  await new Promise((resolve) => interruption.signal.addEventListener('abort', resolve));
  await server.close('the server was stopped');
  interruption.restore();
  return 0;
}
