import type { TensorChunk, TensorHeader } from '@longtail/core';
import type { StorageTarget } from './memory-store.js';
import type { SentChunk } from './in-transit.js';

/** Something that goes wrong, or someone who comes and goes, at a time or at (worker, round). Pure data, so that a list of them can be drawn, printed and run again. */
export type Fault =
  /** The link breaks; the worker dials again. */
  | { readonly kind: 'cut'; readonly worker: string; readonly atMs: number }
  /** Its direct links to other workers break, and are not dialled again. */
  | { readonly kind: 'cut-peers'; readonly worker: string; readonly atMs: number }
  /** Nothing arrives at either end for a while. */
  | { readonly kind: 'stall'; readonly worker: string; readonly atMs: number; readonly forMs: number }
  /** Nothing arrives at either end, and no dial gets through. */
  | { readonly kind: 'partition'; readonly worker: string; readonly atMs: number; readonly forMs: number }
  /** The process stands still (SIGSTOP, a laptop that sleeps): it neither computes nor hears nor wakes. */
  | { readonly kind: 'freeze'; readonly worker: string; readonly atMs: number; readonly forMs: number }
  /** The clock of a worker jumps ahead. */
  | { readonly kind: 'clock-jump'; readonly worker: string; readonly atMs: number; readonly byMs: number }
  | { readonly kind: 'server-clock-jump'; readonly atMs: number; readonly byMs: number }
  /** The process is gone and does not come back. */
  | { readonly kind: 'kill'; readonly worker: string; readonly atMs: number }
  /** The process is gone; another one on the same machine dials after a while. */
  | { readonly kind: 'restart'; readonly worker: string; readonly atMs: number; readonly forMs: number }
  /** The owner stops it, at once or once what it holds is finished. */
  | { readonly kind: 'leave' | 'finish'; readonly worker: string; readonly atMs: number }
  /** The owner lets it rest for a while. */
  | { readonly kind: 'pause'; readonly worker: string; readonly atMs: number; readonly forMs: number }
  /** A client lets it leave once it is done. */
  | { readonly kind: 'drain'; readonly worker: string; readonly atMs: number }
  | { readonly kind: 'slow'; readonly worker: string; readonly atMs: number; readonly forMs: number; readonly factor: number }
  /** The device fails its next task, or preparing. */
  | { readonly kind: 'fail'; readonly worker: string; readonly atMs: number }
  | { readonly kind: 'tamper'; readonly worker: string; readonly round: number; readonly chunk: number; readonly how: Tampering }
  /** The next chunk that the server sends to a worker. */
  | { readonly kind: 'tamper-down'; readonly worker: string; readonly atMs: number; readonly how: 'duplicate' | 'corrupt' | 'truncated' | 'misshapen' }
  /** The next message of a worker comes twice, or after those behind it. */
  | { readonly kind: 'message'; readonly worker: string; readonly atMs: number; readonly how: 'twice' | 'late' }
  /** Beside each chunk and message of a worker `each` mutants of it come from the start, where the transport lets them through. */
  | { readonly kind: 'fuzz'; readonly worker: string; readonly each: number }
  /** Every value that a worker sends is NaN from then on. */
  | { readonly kind: 'poison'; readonly worker: string; readonly atMs: number }
  /** The server's process is gone, with all that was not durable; another one takes up its runs after a while. */
  | { readonly kind: 'kill-server'; readonly atMs: number; readonly forMs: number }
  /** The standby's link breaks, nothing arrives at either end for a while, a value of its copy changes, or somebody has it take over. */
  | { readonly kind: 'standby'; readonly how: 'cut' | 'stall' | 'corrupt' | 'order'; readonly atMs: number; readonly forMs: number }
  /** The server's process stands still. */
  | { readonly kind: 'freeze-server'; readonly atMs: number; readonly forMs: number }
  | { readonly kind: 'cancel'; readonly atMs: number }
  | { readonly kind: 'disk-full'; readonly atMs: number; readonly what: StorageTarget };

/** One that happens at a time. */
export type TimedFault = Extract<Fault, { readonly atMs: number }>;

/** What may be wrong with a chunk, DESIGN.md section 5, line 3. `corrupt` breaks the checksum, the others do not. */
export type Tampering =
  | 'duplicate'
  /** It comes after those behind it. */
  | 'late'
  | 'corrupt'
  | 'nan'
  | 'huge'
  | 'truncated'
  | 'misshapen'
  | 'stale'
  | 'wrong-task'
  | 'wrong-run'
  | 'wrong-codec'
  | 'wrong-worker';

export type Crc = (bytes: Uint8Array) => number;

/** How long what comes `late` takes more. */
export const LATE_MS = 40;

/** The chunks that travel instead of `chunk`. */
export function tamper(how: Tampering, { header, payload }: TensorChunk, crc32c: Crc): readonly SentChunk[] {
  const original = { header, payload };
  const headed = (changes: Partial<TensorHeader>) => [{ header: { ...header, ...changes }, payload }];
  const filled = (value: number) => {
    const bytes = payload.slice();
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return [{ header: { ...header, crc: crc32c(bytes) }, payload: bytes }];
  };
  switch (how) {
    case 'duplicate':
      return [original, original];
    case 'late':
      return [{ ...original, lateMs: LATE_MS }];
    case 'corrupt':
      return [{ header, payload: payload.map((byte, i) => (i === 0 ? byte ^ 0x40 : byte)) }];
    case 'nan':
      return filled(Number.NaN);
    case 'huge':
      return filled(1e30);
    case 'truncated': {
      const bytes = payload.slice(0, payload.length - 3);
      return [{ header: { ...header, crc: crc32c(bytes) }, payload: bytes }];
    }
    case 'misshapen':
      return headed({ offset: header.offset + 1 });
    case 'stale':
      return headed({ baseVersion: header.baseVersion - 1 });
    case 'wrong-task':
      return headed({ task: header.task + 1 });
    case 'wrong-run':
      return headed({ run: 'another' });
    case 'wrong-codec':
      return headed({ codec: header.codec + 1 });
    case 'wrong-worker':
      return headed({ stage: 1 });
  }
}
