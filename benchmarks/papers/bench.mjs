import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const cli = fileURLToPath(new URL('../../apps/cli/bin/longtail.mjs', import.meta.url));

/**
 * What `longtail bench` finds on a scenario of this folder, by arm: `{ settings, summary }`. The report is in
 * `bench/papers-NAME`; what is there from before is run again, as it may be of other code.
 */
export async function benchOf(file, ...options) {
  const out = join('bench', `papers-${basename(file, '.yaml')}`);
  await promisify(execFile)(process.execPath, [
    cli,
    'bench',
    fileURLToPath(new URL(file, import.meta.url)),
    '--out',
    out,
    '--fresh',
    '--quiet',
    ...options,
  ]);
  const { arms } = JSON.parse(await readFile(join(out, 'result.json'), 'utf8'));
  return arms.map(({ name, settings, outcome }) => {
    if (outcome.status !== 'done') throw new Error(`${name}: ${outcome.reason}`);
    return { name, settings, summary: outcome.summary };
  });
}
