import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { makeFolder, withStorageErrors } from './storage-error.js';

/** The id that servers know a node by. */
export interface ClaimedIdentity {
  /** Empty: no server gave it one yet. */
  readonly node: string;
  remember(node: string): void;
  /** Lets another process have it. */
  release(): void;
}

/**
 * The id of a node of this name on this machine, kept in `folder` from one process to the next. Processes that run side by
 * side under one name have one each: a claim lasts until its release, or the end of its process. LongtailError `storage`.
 */
export async function claimIdentity(folder: string, name: string): Promise<ClaimedIdentity> {
  const doing = 'keep the id of this node';
  await makeFolder(doing, folder, 0o700);
  return withStorageErrors(doing, folder, async () => {
    for (let i = 1; ; i++) {
      const path = join(folder, `${encodeURIComponent(name)}@${encodeURIComponent(hostname())}-${i}.json`);
      if (lock(`${path}.lock`)) return identity(path);
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
      writeFileSync(path, `${JSON.stringify({ node })}\n`, { mode: 0o600 });
    },
    release: () => rmSync(`${path}.lock`, { force: true }),
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

/** Takes a lock whose process is gone. It appears with its process in it: one that is empty would be taken for nobody's. */
function lock(path: string): boolean {
  const own = `${path}.${process.pid}`;
  writeFileSync(own, String(process.pid), { mode: 0o600 });
  try {
    while (!linked(own, path)) {
      const holder = readLock(path);
      if (isAlive(Number(holder))) return false;
      if (holder !== undefined) removeDead(path);
    }
    return true;
  } finally {
    rmSync(own, { force: true });
  }
}

/** False where there is such a file. */
function linked(file: string, path: string): boolean {
  try {
    linkSync(file, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** One at a time, after another look: whoever comes second would remove the lock of whoever came first. */
function removeDead(path: string): void {
  const removing = `${path}.removing`;
  if (!lock(removing)) return;
  if (!isAlive(Number(readLock(path)))) rmSync(path, { force: true });
  rmSync(removing, { force: true });
}

/** Undefined: it was released meanwhile. */
function readLock(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Is there a process with this id? */
export function isAlive(pid: number): boolean {
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
