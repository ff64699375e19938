import { Option, type Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { DEFAULT_PORT, duration, runsOption, tokenOption, wholeNumber } from './options.js';

export function upCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('up')
    .summary('run a parameter server')
    .description(
      'Runs a parameter server in the foreground: workers join it, clients launch jobs on it. Ctrl-C cancels what runs, saves it, and ends.\nRuns that an earlier server at this address and with this folder left unfinished, as it was killed, go on from their last checkpoints.',
    )
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('-p, --port <port>', 'port to listen on; tensors take the next one; 0: any that are free', wholeNumber(0, 65_534), DEFAULT_PORT)
    .addOption(runsOption())
    .option('--tls', 'encrypt, and let in only who has enrolled with a token; default: when others reach the address')
    .option('--insecure', 'neither, although others reach the address: everybody may join, launch and read along')
    .option('--standby-of <address>', 'follow the server there, and take over from it when it dies; --host and --port say where this one is reached then')
    .addOption(tokenOption())
    .option('--heartbeat <time>', 'how often a link that is idle shows life; who is silent for three of them is gone; default: 2s, with a standby 1s', duration)
    .option('--state <folder>', 'folder of the authority and of the database, of one server at a time; default: server in your state folder')
    .addOption(
      new Option(
        '--checkpoints <where>',
        's3://bucket/prefix, with ?endpoint=https://… for a store other than AWS, or a folder; keys as for every AWS tool; default: each run in its own folder',
      ).env('LONGTAIL_CHECKPOINTS'),
    )
    .addOption(
      new Option('--database <where>', 'postgres://user@host:port/name, or a file: which runs there were, which nodes, and who is let in; default: longtail.db in --state').env('LONGTAIL_DATABASE'),
    );
  examples(command, [
    ['longtail up', `listen on 127.0.0.1:${DEFAULT_PORT}`],
    ['longtail up --port 9000 --runs /data/runs', 'elsewhere'],
    ['longtail up --standby-of 10.0.0.5:7077 --host 10.0.0.6 --token -', 'takes over from the first within seconds'],
    ["longtail up --checkpoints 's3://models/longtail?endpoint=http://nas:9000'", 'checkpoints in a bucket'],
    ['LONGTAIL_DATABASE=postgres://longtail:…@db/longtail longtail up', 'a database that `ps` does not show'],
    ['longtail up --host 0.0.0.0', 'for others too, let in by tokens'],
  ]);
  bind(command, outcome, async () => (await import('../actions/up.js')).up);
}
