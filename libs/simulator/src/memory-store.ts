import { LongtailError, type Clock, type EventLog, type Job, type RunEvent, type StoredEvent, type Verdict } from '@longtail/core';
import type { RunSnapshot, RunStore } from '@longtail/runtime';
import { MemoryRecording } from './memory-recording.js';

/** That writing a version takes. */
const RECORD_MS = 5;

/** An event log in memory. */
class MemoryLog implements EventLog {
  private closed = false;
  private lastSeq: number;
  private changed: (() => void)[] = [];

  constructor(
    readonly events: StoredEvent[],
    private readonly clock: Clock,
    private readonly throwIfFull: () => void,
    private readonly appended: (event: StoredEvent) => boolean,
  ) {
    this.lastSeq = events.at(-1)?.seq ?? 0;
  }

  append(event: RunEvent): StoredEvent {
    this.throwIfFull();
    const stored = { seq: this.lastSeq + 1, timeMs: this.clock.nowMs(), body: event };
    this.lastSeq = stored.seq;
    if (this.appended(stored)) this.events.push(stored);
    this.wake();
    return stored;
  }

  async *read(fromSeq: number, signal: AbortSignal): AsyncIterable<StoredEvent> {
    const aborted = () => this.wake();
    signal.addEventListener('abort', aborted);
    try {
      for (let next = Math.max(0, fromSeq - 1); !signal.aborted;) {
        const event = this.events[next];
        if (event !== undefined) {
          next++;
          yield event;
        } else if (this.closed) return;
        else await new Promise<void>((resolve) => this.changed.push(resolve));
      }
    } finally {
      signal.removeEventListener('abort', aborted);
    }
  }

  async flush(): Promise<void> {}

  async close(): Promise<void> {
    this.closed = true;
    this.wake();
  }

  private wake(): void {
    if (this.changed.length > 0) for (const resolve of this.changed.splice(0)) resolve();
  }
}

/** What can run out of room. */
export type StorageTarget = 'log' | 'checkpoint' | 'model' | 'recording';

export interface MemoryStoreOptions {
  readonly clock: Clock;
  /** Time that a checkpoint or model takes to write. */
  readonly writeMs: number;
  /** Told of each event of the log; false: it is not kept. */
  readonly appended: (event: StoredEvent) => boolean;
}

/** A run's folder in memory. Snapshots are copied when the write ends: whoever changes one too early is found out. */
export class MemoryStore implements RunStore {
  readonly folder = 'memory:';
  readonly description: object;
  readonly log: MemoryLog;
  readonly full = new Set<StorageTarget>();
  readonly checkpoints: RunSnapshot[];
  readonly events: StoredEvent[];
  readonly recording: MemoryRecording | undefined;
  model: RunSnapshot | undefined;
  verdict: Verdict | undefined;
  writing = 0;
  peakWriting = 0;

  /** `before`: the same folder, as a server that was killed left it. */
  constructor(
    readonly run: string,
    readonly job: Job,
    readonly options: MemoryStoreOptions,
    before?: MemoryStore,
  ) {
    this.description = { job };
    this.events = [...(before?.events ?? [])];
    this.checkpoints = [...(before?.checkpoints ?? [])];
    this.recording = job.record && new MemoryRecording(job.record.maxBytes, options.clock, RECORD_MS, () => this.throwIfFull('recording'), before?.recording);
    this.log = new MemoryLog(this.events, options.clock, () => this.throwIfFull('log'), options.appended);
  }

  async checkpoint(snapshot: RunSnapshot): Promise<{ path: string; bytes: number }> {
    this.checkpoints.push(await this.write('checkpoint', snapshot));
    return { path: `memory:checkpoint-${snapshot.version}`, bytes: 4 * snapshot.parameters.length };
  }

  async saveModel(snapshot: RunSnapshot): Promise<{ path: string; bytes: number }> {
    this.model = await this.write('model', snapshot);
    return { path: 'memory:model', bytes: 4 * snapshot.parameters.length };
  }

  async finish(verdict: Verdict): Promise<void> {
    this.verdict = verdict;
    await this.log.close();
  }

  private async write(target: StorageTarget, snapshot: RunSnapshot): Promise<RunSnapshot> {
    this.peakWriting = Math.max(this.peakWriting, ++this.writing);
    await this.options.clock.sleep(this.options.writeMs, new AbortController().signal);
    this.writing--;
    this.throwIfFull(target);
    return { ...snapshot, parameters: snapshot.parameters.slice(), state: snapshot.state.map((vector) => vector.slice()) };
  }

  private throwIfFull(target: StorageTarget): void {
    if (this.full.has(target)) throw new LongtailError(`no space left for the ${target}`, { code: 'storage', hint: 'Free some space.' });
  }
}
