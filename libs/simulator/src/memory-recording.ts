import { LongtailError, type Clock, type RecordedChunk } from '@longtail/core';
import type { Recording, RunSnapshot } from '@longtail/runtime';

interface RecordedVersion {
  readonly version: number;
  readonly chunks: readonly RecordedChunk[];
}

/** A recording in memory. Bytes are copied when writing ends: whoever gives them to others too early is found out. */
export class MemoryRecording implements Recording {
  from: RunSnapshot | undefined;
  versions: readonly RecordedVersion[] = [];

  /** `before`: the same folder, as a server that was killed left it. */
  constructor(
    private readonly maxBytes: number,
    private readonly clock: Clock,
    private readonly writeMs: number,
    private readonly throwIfFull: () => void,
    before?: MemoryRecording,
  ) {
    this.from = before?.from;
    this.versions = before?.versions ?? [];
  }

  /** Of the coded values alone. */
  get bytes(): number {
    return this.versions.reduce((sum, { chunks }) => sum + bytesOf(chunks), 0);
  }

  async begin(from: RunSnapshot, bytes: number): Promise<void> {
    if (bytes > this.maxBytes) throw new LongtailError(`recording needs ${bytes} bytes`, { code: 'usage' });
    this.from = { ...from, parameters: from.parameters.slice(), state: from.state.map((vector) => vector.slice()) };
    this.versions = [];
  }

  async rewind(version: number): Promise<number | undefined> {
    this.versions = this.versions.filter((one) => one.version <= version);
    return this.versions.at(-1)?.version ?? this.from?.version;
  }

  async append(version: number, chunks: Iterable<RecordedChunk>): Promise<void> {
    await this.clock.sleep(this.writeMs, new AbortController().signal);
    this.throwIfFull();
    const copy = [...chunks].map((chunk) => ({ ...chunk, parts: chunk.parts.map((part) => ({ ...part, bytes: part.bytes.slice() })) }));
    if (this.bytes + bytesOf(copy) > this.maxBytes) throw new LongtailError('it would take more than it may', { code: 'storage' });
    this.versions = [...this.versions, { version, chunks: copy }];
  }

  async flush(): Promise<void> {}
}

function bytesOf(chunks: readonly RecordedChunk[]): number {
  return chunks.reduce((sum, { parts }) => sum + parts.reduce((bytes, part) => bytes + part.bytes.length, 0), 0);
}
