import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FileSource } from '@longtail/core';
import { userCache } from '@longtail/core/user-folders';
import { fetchToCache, type FetchOptions } from './fetch-to-cache.js';
import { withStorageErrors } from './storage-error.js';

export interface NodeFilesOptions extends Pick<FetchOptions, 'maxBytes'> {
  /** Where relative paths start. @default the working directory */
  readonly base?: string;
  /** Root of the cache of fetched files. @default userCache() */
  readonly cache?: string;
  readonly onProgress?: (url: string, progress: { readonly bytes: number; readonly totalBytes: number | undefined }) => void;
}

/** The disk of this machine, and what it can fetch. */
export function nodeFiles(options: NodeFilesOptions = {}): FileSource {
  const { base = '.', cache = userCache(), maxBytes, onProgress } = options;
  const absolute = (path: string): string => resolve(base, path);
  return {
    async locate(location, signal) {
      if (/^https?:\/\//.test(location)) {
        return (
          await fetchToCache(location, {
            cache,
            maxBytes,
            signal,
            onProgress: onProgress && ((progress) => onProgress(location, progress)),
          })
        ).path;
      }
      const path = location.startsWith('file:') ? fileURLToPath(location) : absolute(location);
      await withStorageErrors('open the file', path, () => stat(path));
      return path;
    },
    async packageFolder(name, from) {
      // By path, not by `require.resolve`: some packages' exports hide even their package.json.
      const folders = createRequire(from).resolve.paths(name) ?? [];
      return folders.map((folder) => join(folder, name)).find((folder) => existsSync(join(folder, 'package.json')));
    },
    list: (folder) => withStorageErrors('list the folder', absolute(folder), async () => (await readdir(absolute(folder))).sort()),
    digest: (path, signal) =>
      withStorageErrors('read the file', absolute(path), async () => {
        const hash = createHash('sha256');
        let bytes = 0;
        for await (const chunk of createReadStream(absolute(path), { highWaterMark: 1 << 20, signal }) as AsyncIterable<Uint8Array>) {
          hash.update(chunk);
          bytes += chunk.length;
        }
        return { bytes, sha256: hash.digest('hex') };
      }),
    read: (path) =>
      withStorageErrors('read the file', absolute(path), async () => {
        const content = await readFile(absolute(path));
        return { content, sha256: createHash('sha256').update(content).digest('hex') };
      }),
  };
}
