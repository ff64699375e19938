import { existsSync } from 'node:fs';
import { mkdir, open, readdir, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes, LongtailError, type RecordedChunk } from '@longtail/core';
import { syncFolder, writeFully } from './atomic.js';
import { checkpointFolder, type Checkpoint, type CheckpointFolder } from './checkpoints.js';
import { encodeChunk, encodeEnd, RecordFile, type Crc32c } from './recording-format.js';
import { ensureDiskSpace, withStorageErrors } from './storage-error.js';

/** What each version of a run is made of, as a server writes it down. Failures are LongtailError `storage`. */
export interface RecordingFolder {
  /**
   * Begins a part with this version, in the place of those that began with it or later. Throws LongtailError `usage` where all that is to
   * come, `bytes`, is more than may be taken, `storage` where there is less room.
   */
  begin(from: Checkpoint, bytes: number): Promise<void>;
  /** Leaves out what came after `version` and what a crash cut off; resolves with the last version that is there, undefined: there is no beginning. */
  rewind(version: number): Promise<number | undefined>;
  /** Writes all that leads to a version or nothing: LongtailError `storage` where it takes more than it may, or than there is room for. */
  append(version: number, chunks: Iterable<RecordedChunk>): Promise<void>;
  /** Resolves when it is all on the disk. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** A part of a recording, to be read. */
export interface RecordedPart {
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

/** In the folder of a part, named by the version that it begins with: a checkpoint of that, and a file that grows. */
const FROM = 'from';
const FILE = 'contributions.bin';
const PART = /^v(\d+)$/;

export function recordingFolder(folder: string, options: { readonly maxBytes: number; readonly crc32c: Crc32c }): RecordingFolder {
  return new WrittenRecording(folder, options.maxBytes, options.crc32c);
}

class WrittenRecording implements RecordingFolder {
  private file: FileHandle | undefined;
  /** Of the part that is written. */
  private path = '';
  /** Of it, what is whole. */
  private bytes = 0;

  constructor(
    private readonly folder: string,
    private readonly maxBytes: number,
    private readonly crc32c: Crc32c,
  ) {}

  async begin(from: Checkpoint, bytes: number): Promise<void> {
    const { maxBytes } = this;
    if (bytes > maxBytes) throw tooSmall(bytes, maxBytes);
    await ensureDiskSpace(this.folder, bytes);
    await this.close();
    await this.dropParts(({ version }) => version >= from.version);
    const folder = join(this.folder, `v${String(from.version).padStart(8, '0')}`);
    this.path = join(folder, FILE);
    await withStorageErrors('begin the recording', folder, async () => {
      await mkdir(folder, { recursive: true });
      await checkpointFolder(join(folder, FROM), { keep: 1 }).write(from);
      this.file = await open(this.path, 'w');
      await syncFolder(folder);
    });
    this.bytes = 0;
  }

  async rewind(version: number): Promise<number | undefined> {
    await this.dropParts((part) => part.version > version);
    const part = (await partsOf(this.folder)).at(-1);
    if (part === undefined) return undefined;
    this.path = join(part.folder, FILE);
    if ((await baseOf(part).versions()).length === 0 || !existsSync(this.path)) return undefined;
    const written = new RecordFile(this.path, this.crc32c);
    const kept = written.scan().versions.filter((place) => place.version <= version);
    written.close();
    this.bytes = kept.at(-1)?.to ?? 0;
    await withStorageErrors('repair the recording', this.path, async () => {
      this.file = await open(this.path, 'r+');
      await this.file.truncate(this.bytes);
    });
    return kept.at(-1)?.version ?? part.version;
  }

  append(version: number, chunks: Iterable<RecordedChunk>): Promise<void> {
    return withStorageErrors('write the recording', this.path, async () => {
      const { bytes: before, crc32c } = this;
      try {
        for (const chunk of chunks) for (const record of encodeChunk(version, chunk, crc32c)) await this.write(record);
        await this.write(encodeEnd(version, crc32c));
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

  private async dropParts(isOver: (part: PartFolder) => boolean): Promise<void> {
    for (const part of await partsOf(this.folder)) {
      if (isOver(part)) await withStorageErrors('begin the recording', part.folder, () => rm(part.folder, { recursive: true }));
    }
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

interface PartFolder {
  readonly version: number;
  readonly folder: string;
}

/** By version. */
async function partsOf(folder: string): Promise<readonly PartFolder[]> {
  if (!existsSync(folder)) return [];
  const names = await withStorageErrors('open the recording', folder, () => readdir(folder));
  const parts = names.flatMap((name) => {
    const [, version] = PART.exec(name) ?? [];
    return version === undefined ? [] : [{ version: Number(version), folder: join(folder, name) }];
  });
  return parts.sort((a, b) => a.version - b.version);
}

function baseOf({ folder }: PartFolder): CheckpointFolder {
  return checkpointFolder(join(folder, FROM), { keep: 1 });
}

/** Its parts, by the versions that they begin with. LongtailError `missing-file` where there is none, `checksum` where what one begins with is damaged. */
export async function readRecording(folder: string, { crc32c }: { readonly crc32c: Crc32c }): Promise<readonly RecordedPart[]> {
  const parts = await partsOf(folder);
  if (parts.length === 0) throw new LongtailError('The recording has no beginning.', { code: 'missing-file', where: folder });
  return Promise.all(parts.map((part) => readPart(part, crc32c)));
}

async function readPart(part: PartFolder, crc32c: Crc32c): Promise<RecordedPart> {
  const from = await baseOf(part).read(part.version);
  const file = new RecordFile(join(part.folder, FILE), crc32c);
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
