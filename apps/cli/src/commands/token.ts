import { Option, type Command } from 'commander';
import { ROLES } from '@longtail/core';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { duration, serverOption, tokenOption, wholeNumber } from './options.js';

export function tokenCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('token')
    .summary('let machines and people in')
    .description(
      'Join tokens of a server that has certificates. Whoever has a token enrols with it and gets a certificate of the role that it says: node computes, viewer looks, engineer launches and cancels too, admin does everything; standby takes over, and is told the key of the authority for that.',
    );
  examples(command, [
    ['longtail token create', 'for one node, good for a day'],
    ['longtail token list', 'tokens, and who came with them'],
  ]);
  createCommand(command, outcome);
  listCommand(command, outcome);
  revokeTokenCommand(command, outcome);
}

function createCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('create')
    .summary('make a token')
    .description('Makes a token and prints it. It is a secret: it is shown this once, and the server keeps only its hash.')
    .addOption(new Option('--role <role>', 'what whoever has it may do').choices(ROLES).default('node'))
    .option('--expires <time>', 'how long it is good, such as 30m, 24h or 7d', duration, duration('24h'))
    .option('--uses <count>', 'how many may enrol with it', wholeNumber(1, 10_000), 1);
  command.addOption(serverOption()).addOption(tokenOption());
  examples(command, [
    ['longtail token create', 'for one node, good for a day'],
    ['longtail token create --uses 20 --expires 7d', 'for twenty nodes, good for a week'],
    ['longtail token create --role engineer', 'for somebody who launches jobs'],
    ['longtail token create --role standby', 'for the machine that takes over when this one dies'],
  ]);
  bind(command, outcome, async () => (await import('../actions/token.js')).create);
}

function listCommand(parent: Command, outcome: Outcome): void {
  const command = parent.command('list').summary('list tokens, and who came with them').description('Lists the tokens of a server, and who has enrolled with it.');
  command.addOption(serverOption()).addOption(tokenOption());
  examples(command, [['longtail token list', 'what may still be used, and by whom it was']]);
  bind(command, outcome, async () => (await import('../actions/token.js')).list);
}

function revokeTokenCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('revoke')
    .argument('<id>', 'id of the token, as `longtail token list` lists it')
    .summary('take a token back')
    .description('Takes a token back: nobody enrols with it any more. Who has enrolled stays, unless --enrolled.')
    .option('--enrolled', 'and shut out all who came with it');
  command.addOption(serverOption()).addOption(tokenOption());
  examples(command, [['longtail token revoke 3f9a01c2 --enrolled', 'it has leaked']]);
  bind(command, outcome, async () => (await import('../actions/token.js')).revokeToken);
}

export function revokeCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('revoke')
    .argument('<who>', 'id of a machine or person, as `longtail token list` lists it, or a name that one alone has')
    .summary('shut somebody out')
    .description('Shuts a machine or a person out, at once: connections end, and the certificate is refused from now on.');
  command.addOption(serverOption()).addOption(tokenOption());
  examples(command, [['longtail revoke laptop', 'it was stolen']]);
  bind(command, outcome, async () => (await import('../actions/token.js')).revoke);
}

export function forgetCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('forget')
    .argument('<address>', 'server')
    .summary('forget an identity')
    .description('Deletes what this machine is on a server. The server still knows it: longtail revoke shuts it out.');
  examples(command, [['longtail forget 10.0.0.5:7077', 'enrol there anew']]);
  bind(command, outcome, async () => (await import('../actions/token.js')).forget);
}
