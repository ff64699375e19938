import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Of the libraries as they are built: where one of them is another one, so may figures be. */
export function programHash(libraries = fileURLToPath(new URL('../../', import.meta.url))): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(libraries).sort()) {
    const built = join(libraries, name, 'dist');
    if (!existsSync(built)) continue;
    const files = readdirSync(built, { recursive: true, encoding: 'utf8' }).filter((path) => /(?<!\.test)\.js$/.test(path));
    for (const path of files.sort()) hash.update(`${name}/${path}\n`).update(readFileSync(join(built, path)));
  }
  return hash.digest('hex');
}
