import { readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive } from '@longtail/store/node';
import { throwIfCancelled } from './child.js';

const TOUCH_MS = 2000;
/** A holder that has not touched its lock for so long is dead, or its machine is. */
const STALE_MS = 20_000;
const POLL_MS = 200;

interface Holder {
  readonly pid: number;
  readonly host: string;
}

/**
 * Runs `work` while holding a lock file; other processes wait for it, or take it over from a holder that died. It saves
 * doing the work twice and no more: results must be published atomically, since a suspended holder may lose its lock.
 *
 * @param onWait called once if the lock is held, with the holder's process id.
 * @throws LongtailError `cancelled` on abort while waiting.
 */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  options: { readonly signal?: AbortSignal; readonly onWait?: (pid: number) => void } = {},
): Promise<T> {
  await acquire(path, options);
  const touch = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => undefined), TOUCH_MS);
  try {
    return await work();
  } finally {
    clearInterval(touch);
    await rm(path, { force: true });
  }
}

async function acquire(path: string, options: { signal?: AbortSignal; onWait?: (pid: number) => void }): Promise<void> {
  let waiting = false;
  while (!(await tryCreate(path))) {
    throwIfCancelled(options.signal);
    const holder = await readHolder(path);
    if (await isStale(path, holder)) {
      await breakLock(path);
      continue;
    }
    if (!waiting && holder !== undefined) {
      options.onWait?.(holder.pid);
      waiting = true;
    }
    await sleep(POLL_MS, undefined, { signal: options.signal }).catch(() => undefined);
  }
}

async function tryCreate(path: string): Promise<boolean> {
  try {
    await writeFile(path, JSON.stringify({ pid: process.pid, host: hostname() } satisfies Holder), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Holder;
  } catch {
    // Just released, or not written yet.
    return undefined;
  }
}

async function isStale(path: string, holder: Holder | undefined): Promise<boolean> {
  if (holder?.host === hostname() && !isAlive(holder.pid)) return true;
  const touched = await stat(path).then(
    (stats) => stats.mtimeMs,
    () => undefined,
  );
  return touched !== undefined && Date.now() - touched > STALE_MS;
}

/** Of several that find the same stale lock, the rename lets one through. */
async function breakLock(path: string): Promise<void> {
  const aside = `${path}.${process.pid}`;
  await rename(path, aside).then(
    () => rm(aside, { force: true }),
    () => undefined,
  );
}
