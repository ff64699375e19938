import type { Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';
import { runsOption, tokenOption } from './options.js';

export function doctorCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('doctor')
    .summary('look at this machine, and say what to mend')
    .description(
      'Looks at the device, its engines, memory, disk, the tools to build the native engine, and the link to a server; says how to mend what is wrong. ✗ is a problem, and – worth knowing: jobs run all the same.\nExit codes: 0 jobs can run here, 5 no engine works, 6 the server cannot be reached or refuses.',
    )
    .option('-s, --server <address>', 'server to try the link to')
    .addOption(tokenOption())
    .addOption(runsOption());
  examples(command, [
    ['longtail doctor', 'this machine'],
    ['longtail doctor --server 10.0.0.5:7077', 'and its link to a server'],
  ]);
  bind(command, outcome, async () => (await import('../actions/doctor.js')).doctor);
}
