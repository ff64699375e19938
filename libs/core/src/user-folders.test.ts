import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { homeFolder, userCache, userConfig, userState } from './user-folders.js';

const noAccount = (): string => {
  throw new Error('uv_os_homedir returned ENOENT');
};

it.each([
  [userCache, { LONGTAIL_CACHE: '/c', XDG_CACHE_HOME: '/x' }, 'linux', '/c'],
  [userCache, { LONGTAIL_CACHE: 'c' }, 'linux', resolve('c')],
  [userCache, { XDG_CACHE_HOME: '/x' }, 'linux', '/x/longtail'],
  [userCache, { XDG_CACHE_HOME: 'x' }, 'linux', '/h/.cache/longtail'],
  [userCache, {}, 'linux', '/h/.cache/longtail'],
  [userCache, {}, 'darwin', '/h/Library/Caches/longtail'],
  [userCache, { LOCALAPPDATA: '/local' }, 'win32', '/local/longtail/Cache'],
  [userCache, { LOCALAPPDATA: '' }, 'win32', '/h/AppData/Local/longtail/Cache'],
  [userState, { LONGTAIL_STATE: '/s', XDG_STATE_HOME: '/x' }, 'linux', '/s'],
  [userState, { LONGTAIL_STATE: 's' }, 'linux', resolve('s')],
  [userState, { XDG_STATE_HOME: '/x' }, 'linux', '/x/longtail'],
  [userState, { XDG_STATE_HOME: 'x' }, 'linux', '/h/.local/state/longtail'],
  [userState, {}, 'linux', '/h/.local/state/longtail'],
  [userState, {}, 'darwin', '/h/Library/Application Support/longtail'],
  [userState, { LOCALAPPDATA: '/local' }, 'win32', '/local/longtail/State'],
  [userConfig, { XDG_CONFIG_HOME: '/x' }, 'linux', '/x/longtail'],
  [userConfig, {}, 'linux', '/h/.config/longtail'],
  [userConfig, {}, 'darwin', '/h/Library/Application Support/longtail'],
  [userConfig, { APPDATA: '/roaming' }, 'win32', '/roaming/longtail'],
] as const)('%o: %o on %s is %s', (folder, env, platform, expected) => {
  expect(folder({ env, platform, home: '/h' })).toBe(expected);
});

it.each([
  ['of the environment', [() => '/home/ada', noAccount], '/home/ada'],
  ['of the account, where the environment says none', [() => '', () => '/home/ada'], '/home/ada'],
  ['none, where there is no account', [noAccount, noAccount], tmpdir()],
])('the home folder is that %s', (_, homes, expected) => {
  expect(homeFolder(homes)).toBe(expected);
});
