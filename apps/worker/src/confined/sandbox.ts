import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, realpathSync, rmdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { LongtailError } from '@longtail/core';

export type Mechanism = 'bubblewrap' | 'namespaces';

/** Something of this machine that a confined process sees, read-only. */
export interface Visible {
  readonly from: string;
  readonly to: string;
}

export interface Limits {
  readonly cpuSeconds: number;
  /** Of all private writable memory. */
  readonly memoryBytes: number;
}

const TOOL_FOLDERS = ['/usr/bin', '/bin', '/usr/sbin', '/sbin', '/usr/local/bin'];
/** Threads and processes: Node takes eleven. */
const MOST_THREADS = 64;
const MOST_FILES = 256;
/** Of systemd's range for services that come and go: nobody owns a file under one of these. */
const FIRST_USER = 61_184;
const USERS = 4_336;

/** The tools that a mechanism needs; undefined when one is missing. `prlimit` and, without bubblewrap, `setpriv` work inside. */
function toolsOf(mechanism: Mechanism): Readonly<Record<string, string>> | undefined {
  const names = mechanism === 'bubblewrap' ? ['bwrap', 'prlimit', 'setpriv'] : ['sh', 'unshare', 'mount', 'mkdir', 'dirname', 'chroot', 'setpriv', 'prlimit'];
  const found = names.map((name) => [name, TOOL_FOLDERS.map((folder) => join(folder, name)).find(existsSync)] as const);
  return found.every(([, path]) => path !== undefined) ? (Object.fromEntries(found) as Record<string, string>) : undefined;
}

/** In the order in which they are tried here. Root's own namespaces need no user namespace, which hides less than a user of its own. */
export function mechanisms(): readonly Mechanism[] {
  if (process.platform !== 'linux') return [];
  const all: readonly Mechanism[] = process.getuid!() === 0 ? ['namespaces', 'bubblewrap'] : ['bubblewrap', 'namespaces'];
  return all.filter((mechanism) => toolsOf(mechanism) !== undefined);
}

/** A command that runs Node in a process that sees nothing but `visible`, and the folder that it needs meanwhile. */
export interface ConfinedCommand {
  readonly file: string;
  readonly args: readonly string[];
  /** Of the tools that build the walls; the process inside has none. */
  readonly env: Readonly<Record<string, string>>;
  dispose(): void;
}

/**
 * Wraps Node's arguments: a root of its own with only what is visible, read-only; no network, no processes of others, no
 * capabilities, nothing gained by exec; limits on processor time, memory, threads and files; no file can be written. As root
 * also a user of its own. It ends with the process that started it.
 */
export async function confine(mechanism: Mechanism, visible: readonly Visible[], limits: Limits, nodeArgs: readonly string[]): Promise<ConfinedCommand> {
  const tools = toolsOf(mechanism);
  if (tools === undefined) throw new LongtailError(`${mechanism} is not installed`, { code: 'refused' });
  const { prlimit, setpriv } = tools as Record<'prlimit' | 'setpriv', string>;
  // Named again inside: a new user forgets whose death ends it.
  const inside = ['/bin/prlimit', ...limitArgs(limits), '/bin/setpriv', '--pdeathsig=KILL', '--no-new-privs', '--bounding-set=-all', '--inh-caps=-all'];
  const binaries = [{ from: prlimit, to: '/bin/prlimit' }, { from: setpriv, to: '/bin/setpriv' }, { from: process.execPath, to: '/bin/node' }];
  const libraries = await librariesOf(binaries.map(({ from }) => from));
  const all = [...binaries, ...libraries.map((path) => ({ from: realpathSync(path), to: path })), ...visible];
  if (mechanism === 'bubblewrap') {
    const binds = all.flatMap(({ from, to }) => ['--ro-bind', from, to]);
    const walls = ['--unshare-all', '--die-with-parent', '--new-session', '--clearenv', '--cap-drop', 'ALL', ...binds, '--remount-ro', '/', '--chdir', '/'];
    return { file: setpriv, args: ['--pdeathsig=KILL', tools.bwrap, ...walls, ...inside, '/bin/node', ...nodeArgs], env: {}, dispose: () => undefined };
  }
  const root = mkdtempSync(join(tmpdir(), 'longtail-confined-'));
  const isRoot = process.getuid!() === 0;
  const user = FIRST_USER + (process.pid % USERS);
  const drop = isRoot ? [`--reuid=${user}`, `--regid=${user}`, '--clear-groups'] : [];
  const spaces = ['--mount', '--net', '--pid', '--ipc', '--uts', '--cgroup', '--fork', '--kill-child=KILL', ...(isRoot ? [] : ['--user', '--map-root-user'])];
  const binds = all.flatMap(({ from, to }) => [from, to]);
  return {
    file: setpriv,
    args: ['--pdeathsig=KILL', tools.unshare, ...spaces, tools.sh, '-c', BUILD_ROOT, 'sh', tools.chroot, root, ...binds, '--', ...inside, ...drop, '/bin/node', ...nodeArgs],
    env: { PATH: TOOL_FOLDERS.join(':') },
    dispose: () => rmdirSync(root),
  };
}

/** In a mount namespace of its own: an empty root in memory, in it what is visible; then the command that follows, in there. */
const BUILD_ROOT = `set -eu
chroot=$1 root=$2; shift 2
mount -t tmpfs -o mode=0755,size=1m tmpfs "$root"
while [ "$1" != -- ]; do
  to=$root$2
  if [ -d "$1" ]; then mkdir -p "$to"; else mkdir -p "$(dirname "$to")"; : > "$to"; fi
  mount -o bind,ro,nosuid,nodev "$1" "$to"
  shift 2
done
shift
mount -o remount,ro "$root"
cd /
unset PATH PWD OLDPWD
exec "$chroot" "$root" "$@"`;

function limitArgs({ cpuSeconds, memoryBytes }: Limits): readonly string[] {
  return [`--cpu=${cpuSeconds}`, `--data=${memoryBytes}`, `--nproc=${MOST_THREADS}`, `--nofile=${MOST_FILES}`, '--fsize=0', '--core=0'];
}

/** Paths of the shared libraries that programs are linked against, their loader among them. */
async function librariesOf(programs: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(programs.map((program) => promisify(execFile)('ldd', [program], { env: { PATH: TOOL_FOLDERS.join(':') } })));
  return [...new Set(found.flatMap(({ stdout }) => [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path)))];
}

/** The packages that `run-module.js` loads, where they are. */
export function runnerFiles(): readonly Visible[] {
  const require = createRequire(import.meta.url);
  const packageOf = (name: string): string => {
    let folder = dirname(realpathSync(require.resolve(name)));
    while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
    return folder;
  };
  const own = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
  const installed = packageOf('typescript').replace(/\/typescript$/, '');
  return [own, packageOf('@longtail/core'), packageOf('@longtail/engine'), installed].map((path) => ({ from: path, to: path }));
}
