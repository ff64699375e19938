import { resolve } from 'node:path';
import type { Command } from 'commander';
import { startServer } from '@longtail/parameter-server';
import { Interruption } from '../process/interruption.js';
import { serverLog } from '../terminal/server-log.js';
import type { Output } from '../terminal/output.js';
import { VERSION } from '../version.js';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { DEFAULT_PORT, runsOption, wholeNumber } from './options.js';

interface UpOptions {
  readonly host: string;
  readonly port: number;
  readonly runs: string;
  readonly insecure?: boolean;
}

export function upCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('up')
    .summary('run a parameter server')
    .description(
      'Runs a parameter server in the foreground: workers join it, clients launch jobs on it. Ctrl-C cancels what runs, saves it, and ends.',
    )
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('-p, --port <port>', 'port to listen on; tensors take the next one; 0: any that are free', wholeNumber(0, 65_534), DEFAULT_PORT)
    .addOption(runsOption())
    .option('--insecure', 'listen beyond this machine although connections are not encrypted yet');
  examples(command, [
    ['longtail up', `listen on 127.0.0.1:${DEFAULT_PORT}`],
    ['longtail up --port 9000 --runs /data/runs', 'elsewhere'],
    ['longtail up --host 0.0.0.0 --insecure', 'on a network you trust'],
  ]);
  bind(command, outcome, up);
}

async function up(output: Output, options: UpOptions): Promise<number> {
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
