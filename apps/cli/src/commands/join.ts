import { hostname } from 'node:os';
import type { Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { allowCodeOption, bitRate, byteSize, celsius, DEFAULT_SERVER, duration, engineOption, hours, link, ownAddress, part, power, tokenOption, wholeNumber } from './options.js';

export function joinCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('join')
    .argument('[address]', 'server to work for', DEFAULT_SERVER)
    .summary('lend this machine to a server')
    .description(
      'Works for a server in the foreground until Ctrl-C, and comes back by itself when the connection is lost. It dials out and opens no port to others, unless --listen lets neighbours of a pipeline reach it directly.',
    )
    .option('-n, --name <name>', 'name of this node, for people', hostname())
    .addOption(tokenOption())
    .addOption(engineOption())
    .option('--limits <file>', "file with what follows, and what the command line does not say; default: node.yaml in the folder of your settings, if it is there")
    .option('--throttle, --share <part>', 'part of the time in which the device computes, such as 50%; default: all of it', part)
    .option('--threads <count>', 'threads to compute with; default: all cores', wholeNumber(1, 1024))
    .option('--memory, --max-memory <size>', 'memory to offer to models, such as 6GiB; what needs more is refused; default: all there is', byteSize)
    .option('--listen <address>', 'address of this machine where other workers reach it directly; default: only workers of this machine do', ownAddress)
    .option('--max-upload <rate>', 'most that tensors may take of your uplink, to the server and to other workers together, such as 10mbit; default: all of it', bitRate)
    .option('--hours <hours>', 'when to work, by the local time, such as 22:00-07:00 or mon-fri 18:00-08:00,sat-sun 00:00-24:00; default: always', hours)
    .option('--only-idle [time]', 'work only when nobody has used the machine for so long; without a time: 5m', duration)
    .option('--max-temperature <degrees>', 'rest when a processor is hotter, in °C, such as 80', celsius)
    .option('--max-power <power>', 'rest when the processors draw more together, such as 200W', power)
    .option('--link <link>', 'a slower link to emulate, both ways, such as up=20mbit,down=100mbit,rtt=40ms or dsl', link)
    .addOption(allowCodeOption())
    .option('--wait', 'keep trying when no server answers yet')
    .option('--look-for <time>', 'how long to look for a server that went away, such as 30s or 12h; default: until it is back', duration);
  examples(command, [
    ['longtail join 10.0.0.5:7077 --token -', 'enrol by the token on standard input, and work'],
    ['longtail join 10.0.0.5:7077', 'from then on'],
    ['longtail join 10.0.0.5:7077 --share 50% --threads 4', 'with half the speed of four cores'],
    ['longtail join 10.0.0.5:7077 --hours 22:00-07:00 --only-idle', 'at night, when nobody uses the machine'],
    ['longtail join 10.0.0.5:7077 --max-upload 10mbit', 'and leave the rest of the uplink to others'],
    ['longtail join 10.0.0.5:7077 --listen 10.0.0.9', 'and take activations of other workers directly'],
    ['longtail join 10.0.0.5:7077 --allow-code', 'and take jobs with code of their own, confined'],
    ['longtail join --engine wasm --name laptop', 'with another engine, under a name'],
  ]);
  bind(command, outcome, async () => (await import('../actions/join.js')).joinServer);
}
