import type { FileCache, FileSink } from '@longtail/runtime';

/** A worker's file cache in memory: what was received, by sha256. */
export class MemoryFiles implements FileCache {
  readonly received = new Map<string, Uint8Array>();

  async find({ sha256 }: { readonly sha256: string }): Promise<string | undefined> {
    return this.received.has(sha256) ? pathOf(sha256) : undefined;
  }

  async receive({ sha256, bytes: total }: { readonly sha256: string; readonly bytes: number }): Promise<FileSink> {
    const content = new Uint8Array(total);
    let written = 0;
    return {
      write: async (bytes) => {
        content.set(bytes, written);
        written += bytes.length;
      },
      finish: async () => {
        this.received.set(sha256, content);
        return pathOf(sha256);
      },
      abandon: async () => undefined,
    };
  }
}

function pathOf(sha256: string): string {
  return `memory:${sha256}`;
}
