import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { isAlive } from './is-alive.js';
import { asStorageError, makeFolder, withStorageErrors } from './storage-error.js';

const KEEPING = 'keep the id of this node';

/** The id that servers know a node by. */
export interface ClaimedIdentity {
  /** Empty: no server gave it one yet. */
  readonly node: string;
  /** What was remembered before stays where this fails. LongtailError `storage`. */
  remember(node: string): void;
  /** Lets another process have it. */
  release(): void;
}

/**
 * The id of a node of this name on this machine, kept in `folder` from one process to the next. Processes that run side by
 * side under one name have one each: a claim lasts until its release, or the end of its process. LongtailError `storage`.
 */
export async function claimIdentity(folder: string, name: string): Promise<ClaimedIdentity> {
  await makeFolder(KEEPING, folder, 0o700);
  return withStorageErrors(KEEPING, folder, async () => {
    for (let i = 1; ; i++) {
      const path = join(folder, `${encodeURIComponent(name)}@${encodeURIComponent(hostname())}-${i}.json`);
      if (lock(`${path}.held`)) return identity(path);
    }
  });
}

function identity(path: string): ClaimedIdentity {
  let known = readNode(path);
  return {
    get node() {
      return known;
    },
    remember(node) {
      known = node;
      try {
        const aside = `${path}.new`;
        writeFileSync(aside, `${JSON.stringify({ node })}\n`, { mode: 0o600 });
        renameSync(aside, path);
      } catch (error) {
        throw asStorageError(error, KEEPING, path);
      }
    },
    release: () => unlock(`${path}.held`),
  };
}

/** A file that a kill left half written is as none. */
function readNode(path: string): string {
  try {
    return (JSON.parse(readFileSync(path, 'utf8')) as { readonly node: string }).node;
  } catch {
    return '';
  }
}

/** Locks of this process: in a container the process that was killed may have had the same id. */
const own = new Set<string>();

/**
 * A lock is a folder with a file that is named by the process which has it. The folder takes its name with that file in it, and takes the place of
 * none but an empty one: of several processes one succeeds, also on disks without hard links.
 */
function lock(path: string): boolean {
  if (own.has(path)) return false;
  const folder = `${path}.${process.pid}`;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, `${process.pid}`), '', { mode: 0o600 });
  try {
    while (!takesName(folder, path)) {
      const holders = holdersOf(path);
      if (holders.some((holder) => Number(holder) !== process.pid && isAlive(Number(holder)))) return false;
      removeHolders(path, holders);
    }
    own.add(path);
    return true;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function unlock(path: string): void {
  own.delete(path);
  removeHolders(path, [`${process.pid}`]);
}

/** False where the name is taken. */
function takesName(folder: string, path: string): boolean {
  try {
    renameSync(folder, path);
    return true;
  } catch (error) {
    // What else Windows and network drives say of a name that is taken differs.
    if (isOneOf(error, 'ENOTEMPTY', 'EEXIST') || existsSync(path)) return false;
    throw error;
  }
}

/** None: it was released meanwhile, or a power cut left no more of it. */
function holdersOf(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isOneOf(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Leaves the lock alone where another process has it by now. */
function removeHolders(path: string, holders: readonly string[]): void {
  for (const holder of holders) rmSync(join(path, holder), { recursive: true, force: true });
  try {
    rmdirSync(path);
  } catch (error) {
    if (!isOneOf(error, 'ENOENT', 'ENOTEMPTY', 'EEXIST')) throw error;
  }
}

function isOneOf(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException).code ?? '');
}
