import { createHash, type Hash } from 'node:crypto';
import { open, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LongtailError, type BlobCache, type LocalFile } from '@longtail/core';
import { removeAbandoned, syncFolder, temporaryName, writeFileAtomic, writeFully } from './atomic.js';
import { ensureDiskSpace, makeFolder, withStorageErrors } from './storage-error.js';

/** A file on its way into the cache. */
export interface IncomingFile {
  /** LongtailError `storage`; `checksum` as soon as it is longer than expected. */
  write(chunk: Uint8Array): Promise<void>;
  /** The place of the whole file. LongtailError `checksum` when it is another than expected: nothing is kept then. */
  commit(): Promise<LocalFile>;
  /** Drops what came. Never throws. */
  abort(): Promise<void>;
}

/** Files by the sha256 of their content. A file is there whole or not at all. */
export interface FileCache {
  /** The path of a file that is here; undefined otherwise. */
  find(sha256: string): Promise<string | undefined>;
  /** Takes a file in. With `expected` its room is made sure of at once and its content at the end. LongtailError `storage`. */
  receive(name: string, expected?: { readonly bytes: number; readonly sha256: string }): Promise<IncomingFile>;
}

/** The cache under `<root>/data/<sha256>`. */
export function fileCache(root: string): FileCache {
  const folder = join(root, 'data');
  const pathOf = (sha256: string): string => {
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw new LongtailError(`${JSON.stringify(sha256)} is no sha256.`, { code: 'protocol' });
    return join(folder, sha256);
  };
  return {
    async find(sha256) {
      const path = pathOf(sha256);
      return stat(path).then(
        (found) => (found.isFile() ? path : undefined),
        () => undefined,
      );
    },
    receive: (name, expected) =>
      withStorageErrors('write to the cache', folder, async () => {
        await makeFolder('write to the cache', folder);
        await removeAbandoned(folder);
        if (expected) await ensureDiskSpace(folder, expected.bytes);
        const temporary = temporaryName(expected ? pathOf(expected.sha256) : join(folder, 'incoming'));
        return new Incoming(name, temporary, await open(temporary, 'wx'), pathOf, expected);
      }),
  };
}

class Incoming implements IncomingFile {
  private readonly hash: Hash = createHash('sha256');
  private bytes = 0;

  constructor(
    private readonly name: string,
    private readonly temporary: string,
    private readonly file: FileHandle,
    private readonly pathOf: (sha256: string) => string,
    private readonly expected: { readonly bytes: number; readonly sha256: string } | undefined,
  ) {}

  async write(chunk: Uint8Array): Promise<void> {
    this.bytes += chunk.length;
    if (this.expected && this.bytes > this.expected.bytes) throw this.mismatch(`more than ${this.expected.bytes} bytes`);
    this.hash.update(chunk);
    await withStorageErrors('write to the cache', this.temporary, () => writeFully(this.file, chunk));
  }

  async commit(): Promise<LocalFile> {
    const sha256 = this.hash.digest('hex');
    if (this.expected && sha256 !== this.expected.sha256) {
      await this.abort();
      throw this.mismatch(`sha256 ${sha256}, expected ${this.expected.sha256} (${this.bytes} of ${this.expected.bytes} bytes)`);
    }
    const path = this.pathOf(sha256);
    await withStorageErrors('write to the cache', path, async () => {
      await this.file.sync();
      await this.file.close();
      await rename(this.temporary, path);
      await syncFolder(dirname(path));
    });
    return { name: this.name, bytes: this.bytes, sha256, path };
  }

  async abort(): Promise<void> {
    await this.file.close().catch(() => undefined);
    await rm(this.temporary, { force: true }).catch(() => undefined);
  }

  private mismatch(what: string): LongtailError {
    return new LongtailError(`The content of ${this.name} is not what it should be: ${what}.`, {
      code: 'checksum',
      where: this.name,
      hint: 'Fetch it again; if it stays so, its source has changed.',
    });
  }
}

/** Results under `<root>/blobs/<key>`; each carries its own digest, so that a damaged one is a miss. */
export function blobCache(root: string): BlobCache {
  const pathOf = (key: string): string => {
    if (!/^[\w.-]{1,200}$/.test(key)) throw new RangeError(`the key ${JSON.stringify(key)}`);
    return join(root, 'blobs', key);
  };
  const digest = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
  return {
    async get(key) {
      const content = await readFile(pathOf(key)).catch(() => undefined);
      if (!content || content.length < 32) return undefined;
      const bytes = content.subarray(32);
      return digest(bytes).equals(content.subarray(0, 32)) ? bytes : undefined;
    },
    async put(key, bytes) {
      await writeFileAtomic(pathOf(key), Buffer.concat([digest(bytes), bytes]));
    },
  };
}
