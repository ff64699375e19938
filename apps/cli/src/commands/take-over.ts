import type { Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';

export function takeOverCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('take-over')
    .argument('<address>', 'of the standby, as `longtail nodes` shows it')
    .summary('have a standby take over now')
    .description(
      'Has the standby of a server go on in its place: where the server is known to be gone and too few nodes say so, or for a move that is planned. Waits until it is the server; nodes and clients find it by themselves. For engineers and admins, and on the standby\'s machine.',
    )
    .option('--force', 'although its server is there: no commit is lost, and that server ends as it sees that it was succeeded')
    .option('-s, --server <address>', "its server: this machine's identity there is used where it has none at the standby's address");
  examples(command, [
    ['longtail take-over 10.0.0.6:7077', 'its server is gone'],
    ['longtail take-over 10.0.0.6:7077 --force', 'a planned move'],
    ['longtail take-over 127.0.0.1:7077 --server 10.0.0.5:7077', 'on the machine of the standby'],
  ]);
  bind(command, outcome, async () => (await import('../actions/take-over.js')).takeOver);
}
