import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeAtomic } from './atomic.js';
import { asStorageError, makeFolder } from './storage-error.js';

/** A small text that only its owner may read. It is there whole or not at all. */
export interface SecretFile {
  readonly path: string;
  /** Undefined: it was never written. LongtailError `storage`. */
  read(): Promise<string | undefined>;
  /** Durable when it resolves. LongtailError `storage`. */
  write(text: string): Promise<void>;
}

/** The file with mode 0600; folders made for it have 0700. */
export function secretFile(path: string): SecretFile {
  return {
    path,
    async read() {
      try {
        return await readFile(path, 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw asStorageError(error, 'read the file', path);
      }
    },
    async write(text) {
      await makeFolder('make the folder', dirname(path), 0o700);
      await writeAtomic(path, (file) => file.writeFile(text), { mode: 0o600 });
    },
  };
}
