import type { DataFile } from './data.js';

/** A file that is here, by content and place. */
export interface LocalFile extends DataFile {
  readonly path: string;
}

/** Files as pure code sees them: `nodeFiles` of libs/store reads the disk, tests use a map. Paths join with `/`. */
export interface FileSource {
  /** The local path of a location: a path as it is, an http(s) URL fetched into the cache. LongtailError `missing-file`, `unreachable`. */
  locate(location: string, signal: AbortSignal): Promise<string>;
  /** Folder of an npm package as the module `from` (its `import.meta.url`) sees it; undefined when it is not installed. */
  packageFolder(name: string, from: string): Promise<string | undefined>;
  /** Names of the files in a folder, sorted. LongtailError `missing-file`. */
  list(folder: string): Promise<readonly string[]>;
  /** Size and digest, streamed: never the whole file in memory. LongtailError `missing-file`. */
  digest(path: string, signal: AbortSignal): Promise<{ readonly bytes: number; readonly sha256: string }>;
  /** The whole file, and its digest. LongtailError `missing-file`. */
  read(path: string): Promise<{ readonly content: Uint8Array; readonly sha256: string }>;
}

/** Results worth keeping between runs, by key; a miss is never an error. */
export interface BlobCache {
  get(key: string): Promise<Uint8Array | undefined>;
  put(key: string, bytes: Uint8Array): Promise<void>;
}

/** Whether a path that somebody else wrote, with `/` between its parts, stays within the folder that it counts from, on every system. */
export function staysWithin(path: string): boolean {
  return path.split('/').every((part) => /^[^\\:\0]+$/.test(part) && part !== '.' && part !== '..');
}
