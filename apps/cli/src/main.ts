import { redactor } from '@longtail/core';
import { run } from './program.js';

// Whoever read the output has left (`longtail … | head`): nobody is interested in the rest.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

// `ps` shows a process's arguments to every user of the machine, but its title in their place.
const command = ['longtail', ...process.argv.slice(2)].join(' ');
const shown = redactor({}).text(command);
if (shown !== command) process.title = shown;

const exitCode = await run(process.argv.slice(2));
// What a pipe had no room for is still here.
await Promise.all([process.stdout, process.stderr].map((stream) => new Promise<void>((resolve) => stream.write('', () => resolve()))));
process.exit(exitCode);
