import { existsSync } from 'node:fs';
import type { FileSource } from '@longtail/core';
import { findPackaged } from '@longtail/data';
import type { FileCache } from '@longtail/runtime';
import { fileCache } from '@longtail/store/node';

/** Files by content, as the runtime asks for them: those of installed packages where they are, others in the cache at `root`. */
export function createFileCache(root: string, source: FileSource): FileCache {
  const cache = fileCache(root);
  return {
    async find(file, signal) {
      const [packaged] = await findPackaged([file], source);
      signal.throwIfAborted();
      return packaged !== undefined && existsSync(packaged.path) ? packaged.path : cache.find(file.sha256);
    },
    async receive(file) {
      const incoming = await cache.receive(file.name, file);
      return {
        write: (bytes) => incoming.write(bytes),
        finish: async () => (await incoming.commit()).path,
        abandon: () => incoming.abort(),
      };
    },
  };
}
