import { LongtailError, type RecordedChunk } from '@longtail/core';
import type { GroupTask } from './group-task.js';
import type { RunSnapshot } from './ports.js';
import { recordingBytes } from './recording-bytes.js';
import type { RunCore } from './run-core.js';

/**
 * Keeps what each commit of a run is made of, where its job says so (docs/adr/0036). Bytes are written as they came, while the
 * run goes on; those of one commit are held for it at most. Where writing fails the recording ends, not the run.
 */
export class Recorder {
  /** That the recording leads to; undefined: nothing is recorded. */
  private version: number | undefined;
  private writing: Promise<void> = Promise.resolve();

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

  /** Resolves when all that was handed over is written. */
  written(): Promise<void> {
    return this.writing;
  }

  /** Takes what leads to a version, once what led to the one before is `written`. The tasks' memory is given to others only after that. */
  keep(version: number, tasks: readonly GroupTask[], chunks: Iterable<RecordedChunk>): void {
    if (!this.isOn) return;
    const writing = this.append(version, chunks);
    this.writing = writing;
    for (const { delivery } of tasks.flatMap(({ parts }) => parts)) delivery.keepUntil(writing);
  }

  /** Resolves when what was handed over is on the disk. */
  async flush(): Promise<void> {
    await this.writing;
    if (this.isOn) await this.core.store.recording!.flush().catch((error: unknown) => this.stop(error));
  }

  private async append(version: number, chunks: Iterable<RecordedChunk>): Promise<void> {
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
