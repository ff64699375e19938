import { homedir, tmpdir, userInfo } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/** Whom the folders are of. */
export interface FolderOwner {
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  readonly home: string;
}

/** The folder for what can be made or fetched again: LONGTAIL_CACHE, else where the system keeps a user's caches. */
export function userCache(owner = thisUser()): string {
  const { env, platform, home } = owner;
  if (env.LONGTAIL_CACHE) return resolve(env.LONGTAIL_CACHE);
  if (platform === 'darwin') return xdg(env.XDG_CACHE_HOME) ?? join(home, 'Library', 'Caches', 'longtail');
  if (platform === 'win32') return xdg(env.XDG_CACHE_HOME) ?? join(env.LOCALAPPDATA || join(home, 'AppData', 'Local'), 'longtail', 'Cache');
  return xdg(env.XDG_CACHE_HOME) ?? join(home, '.cache', 'longtail');
}

/** The folder for what cannot be made again, such as keys: LONGTAIL_STATE, else where the system keeps a user's state. */
export function userState(owner = thisUser()): string {
  const { env, platform, home } = owner;
  if (env.LONGTAIL_STATE) return resolve(env.LONGTAIL_STATE);
  if (platform === 'darwin') return xdg(env.XDG_STATE_HOME) ?? join(home, 'Library', 'Application Support', 'longtail');
  if (platform === 'win32') return xdg(env.XDG_STATE_HOME) ?? join(env.LOCALAPPDATA || join(home, 'AppData', 'Local'), 'longtail', 'State');
  return xdg(env.XDG_STATE_HOME) ?? join(home, '.local', 'state', 'longtail');
}

/** The folder for what a user writes for Longtail, such as the limits of a node. */
export function userConfig(owner = thisUser()): string {
  const { env, platform, home } = owner;
  if (platform === 'darwin') return xdg(env.XDG_CONFIG_HOME) ?? join(home, 'Library', 'Application Support', 'longtail');
  if (platform === 'win32') return xdg(env.XDG_CONFIG_HOME) ?? join(env.APPDATA || join(home, 'AppData', 'Roaming'), 'longtail');
  return xdg(env.XDG_CONFIG_HOME) ?? join(home, '.config', 'longtail');
}

/** Undefined: none that counts. The XDG specification: a relative path is to be ignored. */
function xdg(folder: string | undefined): string | undefined {
  return folder !== undefined && isAbsolute(folder) ? join(folder, 'longtail') : undefined;
}

function thisUser(): FolderOwner {
  return { env: process.env, platform: process.platform, home: homeFolder() };
}

/** Of the environment, else of the account, else the temporary folder: a service may run under a number that is no account. */
export function homeFolder(homes: readonly (() => string)[] = [homedir, () => userInfo().homedir]): string {
  for (const home of homes) {
    try {
      if (isAbsolute(home())) return home();
    } catch {
      // No such account.
    }
  }
  return tmpdir();
}
