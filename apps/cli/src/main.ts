import { run } from './program.js';

// Whoever read the output has left (`longtail … | head`): nobody is interested in the rest.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exit(await run(process.argv.slice(2)));
