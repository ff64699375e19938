import { existsSync, statSync } from 'node:fs';
import { mkdir, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { formatBytes, LongtailError } from '@longtail/core';

const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: 'Free some space on this disk, or choose another one for it.',
  EDQUOT: 'Free some space, or choose another disk for it.',
  EACCES: 'Give yourself write access to it, or choose another folder.',
  EPERM: 'Give yourself write access to it, or choose another folder.',
  EROFS: 'The disk is mounted read-only: choose another folder.',
  EMFILE: 'Too many files are open: raise the limit (`ulimit -n`).',
  ENFILE: 'Too many files are open on this machine.',
  ENOTDIR: 'A part of the path is a file: choose another folder.',
  EFBIG: 'The file is larger than the disk or the limit of this process (`ulimit -f`) allows.',
  EIO: 'The disk reports an error: check it.',
};

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is used up',
  EACCES: 'access is denied',
  EPERM: 'access is denied',
  EROFS: 'the disk is read-only',
};

/** An error of the file system as a user can act on it; others come back as they are. Reading what is not there is `missing-file`, what is too large to be read `invalid-data`, the rest `storage`. */
export function asStorageError(cause: unknown, doing: string, path: string): unknown {
  if (cause instanceof LongtailError || !(cause instanceof Error) || !('code' in cause) || typeof cause.code !== 'string') return cause;
  const { code } = cause;
  if (code === 'ENOENT')
    return new LongtailError(`Cannot ${doing}: there is no such file or folder.`, {
      code: 'missing-file',
      where: path,
      hint: 'Check the path.',
      cause,
    });
  if (code === 'EISDIR')
    return new LongtailError(`Cannot ${doing}: it is a folder.`, { code: 'missing-file', where: path, hint: 'Name a file.', cause });
  if (code === 'ERR_FS_FILE_TOO_LARGE')
    return new LongtailError(`Cannot ${doing}: it has more than 2 GiB.`, { code: 'invalid-data', where: path, hint: 'Split it: a data set may have several files.', cause });
  if (!cause.message.startsWith(code)) return cause;
  return new LongtailError(`Cannot ${doing}: ${REASONS[code] ?? cause.message}.`, {
    code: 'storage',
    where: path,
    hint: HINTS[code],
    cause,
  });
}

/** Runs `work`; what the file system throws becomes a LongtailError that says what was being done to which file. */
export async function withStorageErrors<T>(doing: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw asStorageError(cause, doing, path);
  }
}

/**
 * Makes a folder with those above it, of the permissions `mode`; one that is there is fine. LongtailError `storage`. Not `mkdir` with `recursive`,
 * which on a read-only disk says that the folder does not exist, and under /proc never returns.
 */
export async function makeFolder(doing: string, path: string, mode?: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(path, { throwIfNoEntry: false })?.isDirectory() !== false) return;
    if (code === 'EEXIST') throw new LongtailError(`Cannot ${doing}: it is a file.`, { code: 'storage', where: path, hint: HINTS.ENOTDIR, cause });
    if (code !== 'ENOENT') throw asStorageError(cause, doing, path);
    const above = dirname(path);
    if (existsSync(above)) {
      const hint = 'Choose another folder.';
      throw new LongtailError(`Cannot ${doing}: ${above} takes no new folders.`, { code: 'storage', where: path, hint, cause });
    }
    await makeFolder(doing, above, mode);
    await makeFolder(doing, path, mode);
  }
}

/** Throws LongtailError `storage` when the disk of `folder` (which may not exist yet) has no room for `bytes` more. */
export async function ensureDiskSpace(folder: string, bytes: number): Promise<void> {
  let existing = folder;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  const { bavail, bsize } = await withStorageErrors('look at the disk', existing, () => statfs(existing));
  const free = bavail * bsize;
  if (free >= bytes) return;
  throw new LongtailError(`The disk has ${formatBytes(free)} free; ${formatBytes(bytes)} are needed.`, {
    code: 'storage',
    where: folder,
    hint: HINTS.ENOSPC,
  });
}
