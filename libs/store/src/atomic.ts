import { randomBytes } from 'node:crypto';
import { copyFile, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeFolder, withStorageErrors } from './storage-error.js';

/** What a write that did not finish leaves: ignored by every reader here. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
}

/** After this time nobody is at work on it. */
const MOST_WRITING_MS = 24 * 3_600_000;

/** Removes what processes that were killed have left in a folder. */
export async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!/^\..+\.[0-9a-f]{12}\.tmp$/.test(name)) continue;
    const path = join(folder, name);
    const { mtimeMs = Infinity } = (await stat(path).catch(() => undefined)) ?? {};
    if (mtimeMs < Date.now() - MOST_WRITING_MS) await rm(path, { force: true });
  }
}

/**
 * Writes a file that is whole and durable, or not there: into a temporary neighbour, which then takes its name. What was
 * under that name stays until then. LongtailError `storage` that says what it was `doing`.
 */
export async function writeAtomic<T>(path: string, write: (file: FileHandle) => Promise<T>, { mode, doing = 'write the file' }: { readonly mode?: number; readonly doing?: string } = {}): Promise<T> {
  return withStorageErrors(doing, path, async () => {
    await makeFolder(doing, dirname(path));
    const temporary = temporaryName(path);
    try {
      const file = await open(temporary, 'wx', mode);
      let result: T;
      try {
        result = await write(file);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
      await syncFolder(dirname(path));
      return result;
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  });
}

/** Copies a file, over one that may be there, so that the copy is whole or not there. Throws what the file system does. */
export async function copyFileAtomic(from: string, to: string): Promise<void> {
  const temporary = temporaryName(to);
  try {
    await copyFile(from, temporary);
    await rename(temporary, to);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Makes names in a folder durable. Windows has no such call and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes text or bytes as `writeAtomic` does. */
export async function writeFileAtomic(path: string, content: string | Uint8Array, doing?: string): Promise<void> {
  await writeAtomic(path, (file) => file.writeFile(content), { doing });
}

/** Bytes of one call: Node refuses to read or write 2 GiB at once. */
const MAX_CALL_BYTES = 2 ** 30;

/** Writes all of `bytes`: a single write may be short. `position` in the file; undefined: behind what was written last. */
export async function writeFully(file: Pick<FileHandle, 'write'>, bytes: Uint8Array, position?: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const at = position === undefined ? null : position + written;
    written += (await file.write(bytes, written, Math.min(bytes.length - written, MAX_CALL_BYTES), at)).bytesWritten;
  }
}

/** Fills `out` from `position` on; false where the file ends before. */
export async function readFully(file: Pick<FileHandle, 'read'>, out: Uint8Array, position: number): Promise<boolean> {
  for (let read = 0; read < out.length;) {
    const { bytesRead } = await file.read(out, read, Math.min(out.length - read, MAX_CALL_BYTES), position + read);
    if (bytesRead === 0) return false;
    read += bytesRead;
  }
  return true;
}
