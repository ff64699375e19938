import { LongtailError, type Clock, type RecordedChunk } from '@longtail/core';
import type { Recording, RunSnapshot } from '@longtail/runtime';

/** A recording in memory. Bytes are copied when writing ends: whoever gives them to others too early is found out. */
export class MemoryRecording implements Recording {
  from: RunSnapshot | undefined;
  readonly versions: Map<number, readonly RecordedChunk[]>;
  /** Of the coded values alone. */
  bytes = 0;

  /** `before`: the same folder, as a server that was killed left it. */
  constructor(
    private readonly maxBytes: number,
    private readonly clock: Clock,
    private readonly writeMs: number,
    private readonly throwIfFull: () => void,
    before?: MemoryRecording,
  ) {
    this.from = before?.from;
    this.versions = new Map(before?.versions);
    this.bytes = before?.bytes ?? 0;
  }

  async begin(from: RunSnapshot, bytes: number): Promise<void> {
    if (bytes > this.maxBytes) throw new LongtailError(`recording needs ${bytes} bytes`, { code: 'usage' });
    this.from = { ...from, parameters: from.parameters.slice(), state: from.state.map((vector) => vector.slice()) };
    this.versions.clear();
    this.bytes = 0;
  }

  async rewind(version: number): Promise<number | undefined> {
    for (const [undone, chunks] of this.versions) {
      if (undone <= version) continue;
      this.versions.delete(undone);
      this.bytes -= bytesOf(chunks);
    }
    return [...this.versions.keys()].at(-1) ?? this.from?.version;
  }

  async append(version: number, chunks: Iterable<RecordedChunk>): Promise<void> {
    await this.clock.sleep(this.writeMs, new AbortController().signal);
    this.throwIfFull();
    const copy = [...chunks].map((chunk) => ({ ...chunk, parts: chunk.parts.map((part) => ({ ...part, bytes: part.bytes.slice() })) }));
    const bytes = bytesOf(copy);
    if (this.bytes + bytes > this.maxBytes) throw new LongtailError('it would take more than it may', { code: 'storage' });
    this.versions.set(version, copy);
    this.bytes += bytes;
  }

  async flush(): Promise<void> {}
}

function bytesOf(chunks: readonly RecordedChunk[]): number {
  return chunks.reduce((sum, { parts }) => sum + parts.reduce((bytes, part) => bytes + part.bytes.length, 0), 0);
}
