import { LongtailError, type RecordedChunk } from '@longtail/core';
import type { GroupTask } from './group-task.js';
import type { RunSnapshot } from './ports.js';
import { recordingBytes } from './recording-bytes.js';
import type { RunCore } from './run-core.js';

/** Contributions that may wait to be written, where they are of more than one commit. */
const MAX_WAITING_BYTES = 2 ** 28;

/**
 * Keeps what each commit of a run is made of, where its job says so (docs/adr/0036). Bytes are written as they came, while the
 * run goes on; commits wait only where too many bytes do. Where writing fails the recording ends, not the run.
 */
export class Recorder {
  /** That the recording leads to; undefined: nothing is recorded. */
  private version: number | undefined;
  private writing: Promise<void> = Promise.resolve();
  private waitingBytes = 0;

  constructor(private readonly core: RunCore) {}

  get isOn(): boolean {
    return this.version !== undefined;
  }

  /** Begins with what the run begins with. Throws LongtailError `usage` or `storage` where it needs more room than it may take, or than there is. */
  async begin(snapshot: RunSnapshot): Promise<void> {
    const { core } = this;
    const { recording } = core.store;
    const neededBytes = recordingBytes(core);
    await recording!.begin(snapshot, neededBytes);
    this.version = core.version;
    core.emit({ event: 'recording', run: core.run, version: core.version, neededBytes, maxBytes: core.job.record!.maxBytes });
  }

  /** Begins with what a standby goes on from: the recording so far is where the server was. Where there is no room for the rest the run goes on all the same. */
  async succeed(snapshot: RunSnapshot): Promise<void> {
    this.version = this.core.version;
    await this.begin(snapshot).catch((error: unknown) => this.stop(error));
  }

  /** Goes on with what an earlier server recorded; what that recorded after the run's version is undone. */
  async goOn(): Promise<void> {
    const { core } = this;
    try {
      this.version = await core.store.recording!.rewind(core.version);
    } catch (error) {
      return this.stop(error);
    }
    if (this.version !== core.version) this.stop(new LongtailError(`what leads to version ${core.version} is not there`, { code: 'missing-file' }));
  }

  /** Takes what leads to the version after the one before it; resolves at once where there is room. The tasks' memory is given to others only when it is written. */
  async keep(version: number, tasks: readonly GroupTask[], chunks: Iterable<RecordedChunk>): Promise<void> {
    if (!this.isOn) return;
    const all = [...chunks];
    const bytes = all.reduce((sum, { parts }) => sum + parts.reduce((total, part) => total + part.bytes.length, 0), 0);
    while (this.waitingBytes > 0 && this.waitingBytes + bytes > MAX_WAITING_BYTES) await this.writing;
    this.waitingBytes += bytes;
    const written = this.writing.then(() => this.append(version, all)).then(() => void (this.waitingBytes -= bytes));
    this.writing = written;
    for (const { delivery } of tasks.flatMap(({ parts }) => parts)) delivery.keepUntil(written);
  }

  /** Resolves when what was handed over is on the disk. */
  async flush(): Promise<void> {
    await this.writing;
    if (this.isOn) await this.core.store.recording!.flush().catch((error: unknown) => this.stop(error));
  }

  private async append(version: number, chunks: readonly RecordedChunk[]): Promise<void> {
    if (!this.isOn) return;
    try {
      await this.core.store.recording!.append(version, chunks);
      this.version = version;
    } catch (error) {
      this.stop(error);
    }
  }

  private stop(error: unknown): void {
    const { core, version = 0 } = this;
    this.version = undefined;
    core.emit({ event: 'recording_stopped', run: core.run, version, reason: LongtailError.from(error).message });
  }
}
