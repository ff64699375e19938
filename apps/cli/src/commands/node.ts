import type { Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { serverOption, tokenOption } from './options.js';

const THIS_MACHINE = 'Without a node it is about the workers that this user runs on this machine, whatever servers they work for; no role is needed for that.';

export function pauseCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('pause')
    .argument('[node]', 'id or name of a node, as `longtail nodes` lists it; default: the workers of this machine')
    .summary('let a node rest at once')
    .description(
      `Lets a node rest until it is told to go on: what it holds is finished if that takes less than three seconds, or handed back; it stays connected. ${THIS_MACHINE}`,
    )
    .option('--reason <text>', 'for the log, and whoever looks at the nodes')
    .addOption(serverOption())
    .addOption(tokenOption());
  examples(command, [
    ['longtail pause', 'the workers of this machine'],
    ['longtail pause attic --reason "moving house"', 'a node of the server, by name or id: for engineers and admins'],
  ]);
  bind(command, outcome, async () => (await import('../actions/node.js')).pause);
}

export function unpauseCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('unpause')
    .argument('[node]', 'id or name of a node; default: the workers of this machine')
    .summary('let a node that was paused work again')
    .description(`Takes a pause back. Limits that the node's owner set still hold. ${THIS_MACHINE}`)
    .addOption(serverOption())
    .addOption(tokenOption());
  examples(command, [
    ['longtail unpause', 'the workers of this machine'],
    ['longtail unpause attic', 'a node of the server'],
  ]);
  bind(command, outcome, async () => (await import('../actions/node.js')).unpause);
}

export function drainCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('drain')
    .argument('[node]', 'id or name of a node; default: the workers of this machine')
    .summary('let a node finish what it holds, and leave')
    .description(
      `The node finishes what it holds, however long that takes, gets nothing new, and leaves; its process ends. Waits until it is gone; Ctrl-C stops waiting, not the node's leaving. ${THIS_MACHINE}`,
    )
    .option('--reason <text>', 'for the log')
    .addOption(serverOption())
    .addOption(tokenOption());
  examples(command, [
    ['longtail drain', 'the workers of this machine'],
    ['longtail drain attic --json', 'a node of the server; one JSON line a change'],
  ]);
  bind(command, outcome, async () => (await import('../actions/node.js')).drain);
}
