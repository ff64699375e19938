import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { writeAtomic } from './atomic.js';
import { asStorageError, makeFolder } from './storage-error.js';

/** The folder for what cannot be made again, such as keys: LONGTAIL_STATE, else where the system keeps a user's state. */
export function userState(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string {
  if (env.LONGTAIL_STATE) return resolve(env.LONGTAIL_STATE);
  if (isAbsolute(env.XDG_STATE_HOME ?? '')) return join(env.XDG_STATE_HOME!, 'longtail');
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'longtail');
  if (platform === 'win32') return join(env.LOCALAPPDATA ?? join(home, 'AppData', 'Local'), 'longtail', 'State');
  return join(home, '.local', 'state', 'longtail');
}

/** The folder for what a user writes for Longtail, such as the limits of a node. */
export function userConfig(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string {
  if (isAbsolute(env.XDG_CONFIG_HOME ?? '')) return join(env.XDG_CONFIG_HOME!, 'longtail');
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'longtail');
  if (platform === 'win32') return join(env.APPDATA ?? join(home, 'AppData', 'Roaming'), 'longtail');
  return join(home, '.config', 'longtail');
}

/** A small text that only its owner may read. It is there whole or not at all. */
export interface SecretFile {
  readonly path: string;
  /** Undefined: it was never written. LongtailError `storage`. */
  read(): Promise<string | undefined>;
  /** Durable when it resolves. LongtailError `storage`. */
  write(text: string): Promise<void>;
}

/** The file with mode 0600; folders made for it have 0700. */
export function secretFile(path: string): SecretFile {
  return {
    path,
    async read() {
      try {
        return await readFile(path, 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw asStorageError(error, 'read the file', path);
      }
    },
    async write(text) {
      await makeFolder('make the folder', dirname(path), 0o700);
      await writeAtomic(path, (file) => file.writeFile(text), 0o600);
    },
  };
}
