// `npm start`: set-up, then the main job. Arguments after `--` go to `longtail demo`.
import { spawn } from 'node:child_process';
import { root, setUp } from './setup.mjs';

await setUp();
const child = spawn(process.execPath, ['apps/cli/bin/longtail.mjs', 'demo', ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' });
// The terminal sends Ctrl-C to the whole group; the demo ends its workers, and this process waits for it.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => signal === 'SIGTERM' && child.kill('SIGTERM'));
child.on('close', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
