import { closeSync, fdatasync, fdatasyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { LongtailError, redactor, type EventLog, type RunEvent, type StoredEvent } from '@longtail/core';
import { asStorageError, withStorageErrors } from './storage-error.js';

export interface EventLogOptions {
  /** Wall clock, milliseconds since 1970. */
  readonly now: () => number;
  /** Longest time an event may be in the system's buffers only: what a power cut can cost. A kill of the process costs nothing. @default 200 */
  readonly syncMs?: number;
  /** Writes bytes to a file descriptor and returns how many it took; tests put a full disk here. */
  readonly write?: (fd: number, bytes: Uint8Array) => number;
}

const READ_CHUNK = 64 * 1024;

/**
 * An append-only log, one `StoredEvent` as JSON a line. `append` returns when the line is with the system; a verdict is on
 * the disk then, the rest follows within `syncMs`. A line that a crash cut off at the end is removed on opening.
 * Fields that a later version adds to a line are kept and ignored. Secrets in an event are not written, so that nobody who reads
 * the log, follows it or opens the report sees them. LongtailError `storage`.
 */
export function openEventLog(path: string, options: EventLogOptions): EventLog {
  try {
    mkdirSync(dirname(path), { recursive: true });
    const fd = openSync(path, 'a+');
    try {
      const { lineEnds, wholeBytes, events } = scan(readFileSync(path), path);
      ftruncateSync(fd, wholeBytes);
      return new FileEventLog(path, fd, [0, ...lineEnds], events.at(-1)?.timeMs ?? 0, options);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  } catch (cause) {
    throw asStorageError(cause, 'open the event log', path);
  }
}

/** All whole events of a log that nobody needs to have open. LongtailError `missing-file`, `storage`. */
export async function readEvents(path: string): Promise<readonly StoredEvent[]> {
  return withStorageErrors('read the event log', path, async () => scan(await readFile(path), path).events);
}

class FileEventLog implements EventLog {
  private readonly write: (fd: number, bytes: Uint8Array) => number;
  private readonly redact = redactor(process.env);
  private readonly waiting = new Set<() => void>();
  private syncTimer: NodeJS.Timeout | undefined;
  private syncError: unknown;
  private closed = false;

  constructor(
    private readonly path: string,
    private readonly fd: number,
    /** `offsets[seq - 1]` is where event `seq` begins; the last one is the end of the file. */
    private readonly offsets: number[],
    private lastTimeMs: number,
    private readonly options: EventLogOptions,
  ) {
    this.write = options.write ?? writeSync;
  }

  append(event: RunEvent): StoredEvent {
    if (this.closed) throw new Error(`${this.path} is closed`);
    // Readers draw time axes: a clock set back must not turn them.
    const timeMs = Math.max(this.lastTimeMs, this.options.now());
    const stored: StoredEvent = { seq: this.offsets.length, timeMs, body: event };
    const line = new TextEncoder().encode(`${this.redact.json(stored)}\n`);
    this.writeLine(line);
    this.lastTimeMs = timeMs;
    this.offsets.push(this.size + line.length);
    this.makeDurable(event.event === 'verdict');
    this.wakeReaders();
    return stored;
  }

  async *read(fromSeq: number, signal: AbortSignal): AsyncGenerator<StoredEvent> {
    const file = await withStorageErrors('read the event log', this.path, () => open(this.path, 'r'));
    try {
      const buffer = new Uint8Array(READ_CHUNK);
      let rest: Uint8Array = new Uint8Array();
      let offset = this.offsets[Math.max(1, fromSeq) - 1] ?? this.size;
      let skip = Math.max(0, fromSeq - this.offsets.length);
      while (!signal.aborted) {
        if (offset === this.size) {
          if (this.closed) return;
          await this.nextChange(signal);
          continue;
        }
        const { bytesRead } = await file.read(buffer, 0, Math.min(READ_CHUNK, this.size - offset), offset);
        offset += bytesRead;
        const { lines, tail } = splitLines(concat(rest, buffer.subarray(0, bytesRead)));
        rest = tail;
        for (const line of lines) {
          if (signal.aborted) return;
          if (skip > 0) skip--;
          else yield JSON.parse(line) as StoredEvent;
        }
      }
    } finally {
      await file.close();
    }
  }

  flush(): Promise<void> {
    return withStorageErrors('write the event log', this.path, () => promisify(fdatasync)(this.fd));
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.syncTimer);
    try {
      fdatasyncSync(this.fd);
    } catch (cause) {
      throw asStorageError(cause, 'write the event log', this.path);
    } finally {
      closeSync(this.fd);
      this.wakeReaders();
    }
  }

  private get size(): number {
    return this.offsets[this.offsets.length - 1];
  }

  private writeLine(line: Uint8Array): void {
    try {
      if (this.syncError !== undefined) throw this.syncError;
      for (let written = 0; written < line.length;) written += this.write(this.fd, line.subarray(written));
    } catch (cause) {
      ftruncateSync(this.fd, this.size); // no half line before the next one
      throw asStorageError(cause, 'write the event log', this.path);
    }
  }

  private makeDurable(now: boolean): void {
    if (now) {
      clearTimeout(this.syncTimer);
      this.syncTimer = undefined;
      try {
        fdatasyncSync(this.fd);
      } catch (cause) {
        throw asStorageError(cause, 'write the event log', this.path);
      }
      return;
    }
    this.syncTimer ??= setTimeout(() => {
      this.syncTimer = undefined;
      fdatasync(this.fd, (error) => {
        if (error && !this.closed) this.syncError = error;
      });
    }, this.options.syncMs ?? 200).unref();
  }

  private wakeReaders(): void {
    for (const wake of this.waiting) wake();
    this.waiting.clear();
  }

  private async nextChange(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        this.waiting.delete(wake);
        resolve();
      };
      this.waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}

/** Checks a log; what follows the last whole line is left out. LongtailError `storage` for damage before that. */
function scan(bytes: Uint8Array, path: string): { events: StoredEvent[]; lineEnds: number[]; wholeBytes: number } {
  const events: StoredEvent[] = [];
  const lineEnds: number[] = [];
  let start = 0;
  for (let end = bytes.indexOf(0x0a); end !== -1; end = bytes.indexOf(0x0a, start)) {
    const event = parseLine(bytes.subarray(start, end), events.length + 1);
    if (event === undefined) {
      const isTail = bytes.indexOf(0x0a, end + 1) === -1;
      if (isTail) break;
      throw new LongtailError(`The event log is damaged in line ${events.length + 1}.`, {
        code: 'storage',
        where: `${path}:${events.length + 1}`,
        hint: 'Restore the file from a copy, or start a new run.',
      });
    }
    start = end + 1;
    events.push(event);
    lineEnds.push(start);
  }
  return { events, lineEnds, wholeBytes: start };
}

function parseLine(line: Uint8Array, seq: number): StoredEvent | undefined {
  try {
    const event = JSON.parse(new TextDecoder().decode(line)) as StoredEvent | null;
    return event?.seq === seq && typeof event.body?.event === 'string' ? event : undefined;
  } catch {
    return undefined;
  }
}

function splitLines(bytes: Uint8Array): { lines: string[]; tail: Uint8Array } {
  const end = bytes.lastIndexOf(0x0a) + 1;
  const lines = new TextDecoder().decode(bytes.subarray(0, end)).split('\n');
  lines.pop();
  return { lines, tail: bytes.slice(end) };
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
