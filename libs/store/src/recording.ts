import { existsSync } from 'node:fs';
import { mkdir, open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes, LongtailError, type RecordedChunk } from '@longtail/core';
import { syncFolder, writeFully } from './atomic.js';
import { checkpointFolder, type Checkpoint } from './checkpoints.js';
import { encodeRecord, RecordFile, type Crc32c } from './recording-format.js';
import { ensureDiskSpace, withStorageErrors } from './storage-error.js';

/** What each version of a run is made of, as a server writes it down. Failures are LongtailError `storage`. */
export interface RecordingFolder {
  /** Begins anew. Throws LongtailError `usage` where all that is to come, `bytes`, is more than may be taken, `storage` where there is less room. */
  begin(from: Checkpoint, bytes: number): Promise<void>;
  /** Leaves out what came after `version` and what a crash cut off; resolves with the last version that is there, undefined: there is no beginning. */
  rewind(version: number): Promise<number | undefined>;
  /** Writes all that leads to a version or nothing: LongtailError `storage` where it takes more than it may, or than there is room for. */
  append(version: number, chunks: Iterable<RecordedChunk>): Promise<void>;
  /** Resolves when it is all on the disk. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** A recording, to be read. */
export interface RecordedRun {
  /** What it begins with. */
  readonly from: Checkpoint;
  readonly bytes: number;
  /** That are whole, in order. */
  readonly versions: ReadonlySet<number>;
  /** Why those that follow cannot be read; undefined: none do, or a crash cut them off. */
  readonly damage: LongtailError | undefined;
  /** What leads to one of the versions. Throws LongtailError `checksum`. */
  chunks(version: number): Iterable<RecordedChunk>;
  close(): void;
}

/** In the folder of a recording: a checkpoint, and a file that grows. */
const FROM = 'from';
const FILE = 'contributions.bin';

export function recordingFolder(folder: string, options: { readonly maxBytes: number; readonly crc32c: Crc32c }): RecordingFolder {
  return new WrittenRecording(folder, options.maxBytes, options.crc32c);
}

class WrittenRecording implements RecordingFolder {
  private readonly path: string;
  private file: FileHandle | undefined;
  /** Of what is whole. */
  private bytes = 0;

  constructor(
    private readonly folder: string,
    private readonly maxBytes: number,
    private readonly crc32c: Crc32c,
  ) {
    this.path = join(folder, FILE);
  }

  async begin(from: Checkpoint, bytes: number): Promise<void> {
    const { folder, maxBytes } = this;
    if (bytes > maxBytes) throw tooSmall(bytes, maxBytes);
    await ensureDiskSpace(folder, bytes);
    await this.close();
    await withStorageErrors('begin the recording', folder, async () => {
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true });
      await checkpointFolder(join(folder, FROM), { keep: 1 }).write(from);
      this.file = await open(this.path, 'w');
      await syncFolder(folder);
    });
    this.bytes = 0;
  }

  async rewind(version: number): Promise<number | undefined> {
    const { path, folder, crc32c } = this;
    const [first] = await checkpointFolder(join(folder, FROM), { keep: 1 }).versions();
    if (first === undefined || !existsSync(path)) return undefined;
    const written = new RecordFile(path, crc32c);
    const kept = written.scan().versions.filter((place) => place.version <= version);
    written.close();
    this.bytes = kept.at(-1)?.to ?? 0;
    await withStorageErrors('repair the recording', path, async () => {
      this.file = await open(path, 'r+');
      await this.file.truncate(this.bytes);
    });
    return kept.at(-1)?.version ?? first;
  }

  append(version: number, chunks: Iterable<RecordedChunk>): Promise<void> {
    return withStorageErrors('write the recording', this.path, async () => {
      const { bytes: before, crc32c } = this;
      try {
        for (const { parts, ...place } of chunks) {
          const sizes = parts.map(({ part, codecId, bytes }) => ({ part, codecId, bytes: bytes.length }));
          await this.write(encodeRecord({ version, ...place, parts: sizes }, parts.map(({ bytes }) => bytes), crc32c));
        }
        await this.write(encodeRecord({ version, end: true }, [], crc32c));
      } catch (error) {
        this.bytes = before;
        await this.file!.truncate(before);
        throw error;
      }
    });
  }

  flush(): Promise<void> {
    return withStorageErrors('write the recording', this.path, async () => this.file?.datasync());
  }

  async close(): Promise<void> {
    await this.file?.close();
    this.file = undefined;
  }

  /** One system call, beside the event loop. */
  private async write(pieces: readonly Uint8Array[]): Promise<void> {
    const record = Buffer.concat(pieces);
    if (this.bytes + record.length > this.maxBytes) {
      throw new LongtailError(`it would take more than its ${formatBytes(this.maxBytes)}`, { code: 'storage', where: this.path });
    }
    await writeFully(this.file!, record, this.bytes);
    this.bytes += record.length;
  }
}

/** LongtailError `missing-file` where there is none, `checksum` where what it begins with is damaged. */
export async function readRecording(folder: string, { crc32c }: { readonly crc32c: Crc32c }): Promise<RecordedRun> {
  const base = checkpointFolder(join(folder, FROM), { keep: 1 });
  const [first] = await base.versions();
  if (first === undefined) throw new LongtailError('The recording has no beginning.', { code: 'missing-file', where: folder });
  const from = await base.read(first);
  const file = new RecordFile(join(folder, FILE), crc32c);
  const { versions, damage } = file.scan();
  const places = new Map(versions.map((place) => [place.version, place]));
  return {
    from,
    bytes: file.bytes,
    versions: new Set(places.keys()),
    damage,
    chunks: (version) => file.chunks(places.get(version)!),
    close: () => file.close(),
  };
}

function tooSmall(bytes: number, maxBytes: number): LongtailError {
  return new LongtailError(`Recording needs about ${formatBytes(bytes)}, and may take ${formatBytes(maxBytes)}.`, {
    code: 'usage',
    where: 'record.maxBytes',
    hint: 'Let it take more (`--record=SIZE`), or choose a codec that takes less (sync.codec).',
  });
}
