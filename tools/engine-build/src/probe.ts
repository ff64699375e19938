import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { formatBytes } from '@longtail/core';
import { userCache } from '@longtail/core/user-folders';
import { allocatorHost, installedVariants, thisHost, type NativeVariant } from '@longtail/engine/native';
import { findCompiler, type Compiler } from './compiler.js';
import { findCuda, type CudaFinding } from './cuda.js';
import { findPip, type Pip } from './pip.js';
import { buildTarget, type BuildTarget } from './target.js';

/** Something that is missing, and the one sentence that mends it. */
export interface Problem {
  readonly part: 'platform' | 'compiler' | 'pip' | 'disk' | 'cuda';
  readonly message: string;
  readonly fix: string;
  /** Whether the engine cannot be installed because of it; a card that cannot be used leaves the processor. */
  readonly blocking: boolean;
}

export interface NativeEngineProbe {
  /** Variants in the cache, the one that would be loaded first. */
  readonly present: readonly NativeVariant[];
  /** What an installation with `auto` would take. */
  readonly variant: NativeVariant;
  readonly compiler: Compiler | undefined;
  readonly pip: Pip | undefined;
  readonly cuda: CudaFinding;
  readonly target: BuildTarget | undefined;
  readonly problems: readonly Problem[];
  /** Whether `installNativeEngine` has what it needs, apart from the network. */
  readonly installable: boolean;
}

/** Looks at what an installation of the native engine would need. Changes nothing and uses no network. */
export async function probeNativeEngine(
  options: { readonly variant?: 'auto' | NativeVariant; readonly signal?: AbortSignal } = {},
): Promise<NativeEngineProbe> {
  const { variant: wanted = 'auto', signal } = options;
  const [compiler, { pip, tooOld }, cuda, freeBytes] = await Promise.all([
    findCompiler(signal),
    findPip(signal),
    findCuda(signal),
    freeDiskBytes(userCache()),
  ]);
  const variant = wanted === 'auto' ? (cuda.status === 'usable' ? 'cuda' : 'cpu') : wanted;
  const target = buildTarget(variant, thisHost(), allocatorHost().glibc);
  const problems: Problem[] = [];
  if ('fix' in target) problems.push({ part: 'platform', ...target, blocking: true });
  else if (freeBytes < target.diskBytes) problems.push(diskProblem(freeBytes, target.diskBytes));
  if (compiler === undefined) problems.push(compilerProblem(osFamily()));
  if (pip === undefined) problems.push(pipProblem(osFamily(), tooOld));
  if (cuda.status === 'unusable') problems.push({ part: 'cuda', message: cuda.message, fix: cuda.fix, blocking: false });
  return {
    present: installedVariants(),
    variant,
    compiler,
    pip,
    cuda,
    target: 'fix' in target ? undefined : target,
    problems,
    installable: !problems.some((problem) => problem.blocking),
  };
}

/** Free space where the cache is, or will be made. */
async function freeDiskBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch (error) {
    if (dirname(folder) === folder) throw error;
    return freeDiskBytes(dirname(folder));
  }
}

/** Which package manager to name in a fix. */
export type OsFamily = 'debian' | 'fedora' | 'arch' | 'alpine' | 'suse' | 'macos' | 'other';

function osFamily(): OsFamily {
  if (process.platform === 'darwin') return 'macos';
  try {
    return osFamilyOf(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return 'other';
  }
}

/** From the ID and ID_LIKE of an os-release file. */
export function osFamilyOf(osRelease: string): OsFamily {
  const ids = [...osRelease.matchAll(/^(?:ID|ID_LIKE)="?([^"\n]*)"?$/gm)].flatMap((match) => match[1]!.split(' '));
  if (ids.some((id) => id === 'debian' || id === 'ubuntu')) return 'debian';
  if (ids.some((id) => id === 'fedora' || id === 'rhel' || id === 'centos')) return 'fedora';
  if (ids.includes('arch')) return 'arch';
  if (ids.includes('alpine')) return 'alpine';
  if (ids.some((id) => id === 'suse' || id.startsWith('opensuse'))) return 'suse';
  return 'other';
}

const COMPILER_FIXES: Record<OsFamily, string> = {
  debian: 'Run `sudo apt-get install g++`.',
  fedora: 'Run `sudo dnf install gcc-c++`.',
  arch: 'Run `sudo pacman -S gcc`.',
  alpine: 'Run `sudo apk add g++`.',
  suse: 'Run `sudo zypper install gcc-c++`.',
  macos: 'Run `xcode-select --install`.',
  other: 'Install g++ or clang++, or name your C++ compiler in CXX.',
};

const PIP_FIXES: Record<OsFamily, string> = {
  debian: 'Run `sudo apt-get install python3-pip`.',
  fedora: 'Run `sudo dnf install python3-pip`.',
  arch: 'Run `sudo pacman -S python-pip`.',
  alpine: 'Run `sudo apk add py3-pip`.',
  suse: 'Run `sudo zypper install python3-pip`.',
  macos: 'Run `python3 -m ensurepip --user`.',
  other: 'Install Python 3 with pip, so that `python3 -m pip --version` answers.',
};

export function compilerProblem(family: OsFamily): Problem {
  return { part: 'compiler', message: 'There is no C++ compiler.', fix: COMPILER_FIXES[family], blocking: true };
}

export function pipProblem(family: OsFamily, tooOld: string | undefined): Problem {
  if (tooOld === undefined) return { part: 'pip', message: 'There is no pip.', fix: PIP_FIXES[family], blocking: true };
  return {
    part: 'pip',
    message: `pip ${tooOld} is too old to fetch TensorFlow.`,
    fix: 'Run `python3 -m pip install --user --upgrade pip` to get pip 20.3 or newer.',
    blocking: true,
  };
}

function diskProblem(freeBytes: number, neededBytes: number): Problem {
  return {
    part: 'disk',
    message: `The engine needs ${formatBytes(neededBytes)} while it is unpacked, and ${userCache()} has ${formatBytes(freeBytes)} free.`,
    fix: 'Free some space, or set LONGTAIL_CACHE to a folder on another disk.',
    blocking: true,
  };
}
