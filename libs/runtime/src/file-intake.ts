import { LongtailError, type DataFile, type TensorChunk } from '@longtail/core';
import type { FileCache, FileSink } from './ports.js';

/** Fetches the files that a run needs and this worker does not have, one after the other. */
export class FileIntake {
  private incoming:
    { readonly file: DataFile; readonly sink: FileSink; received: number; done(): void; fail(error: unknown): void } | undefined;

  constructor(
    private readonly cache: FileCache,
    private readonly request: (sha256: string) => void,
  ) {}

  /** Local paths by sha256. Rejects with LongtailError `checksum` or `storage`, or the signal's reason. */
  async fetch(files: readonly DataFile[], signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const paths = new Map<string, string>();
    for (const file of files) {
      paths.set(file.sha256, (await this.cache.find(file, signal)) ?? (await this.receive(file, signal)));
    }
    return paths;
  }

  /** Resolves when the next chunk may come. */
  async take({ header, payload }: TensorChunk): Promise<void> {
    const { incoming } = this;
    // A chunk that was expected before is a late one of a transfer given up, or came twice.
    if (incoming === undefined || header.name !== incoming.file.sha256 || header.offset < incoming.received) return;
    if (header.offset > incoming.received) return incoming.fail(gap(incoming.file, incoming.received, header.offset));
    incoming.received += payload.length;
    try {
      await incoming.sink.write(payload);
    } catch (error) {
      return incoming.fail(error);
    }
    if (incoming.received >= incoming.file.bytes) incoming.done();
  }

  private async receive(file: DataFile, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const sink = await this.cache.receive(file);
    const abort = () => this.incoming?.fail(signal.reason);
    signal.addEventListener('abort', abort);
    try {
      signal.throwIfAborted();
      if (file.bytes > 0) {
        await new Promise<void>((done, fail) => {
          this.incoming = { file, sink, received: 0, done, fail };
          this.request(file.sha256);
        });
      }
      return await sink.finish();
    } catch (error) {
      await sink.abandon();
      throw error;
    } finally {
      this.incoming = undefined;
      signal.removeEventListener('abort', abort);
    }
  }
}

function gap(file: DataFile, received: number, offset: number): LongtailError {
  return new LongtailError(`${file.name}: byte ${offset} came after byte ${received}`, { code: 'protocol' });
}
