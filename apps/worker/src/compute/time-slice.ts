import { createRequire } from 'node:module';
import { getPriority } from 'node:os';
import type koffi from 'koffi';

/** `sched_setattr` has no function in older C libraries. */
const SYSTEM_CALLS: Readonly<Record<string, number | undefined>> = { x64: 314, arm64: 274 };
const STRUCT_BYTES = 48;
const NICE_AT = 16;
const RUNTIME_AT = 24;
/** The longest that Linux gives. */
const SLICE_NS = 100_000_000n;

/**
 * Asks for the longest time slice for the calling thread and those that it will start. A thread that wakes up is by default only
 * given a core when the slice of the one that computes there is over, up to 3 ms later; one with a shorter slice gets it at once
 * (EEVDF, Linux 6.12 and later). So an event loop hands on what came without waiting for the engine beside it. Shares of the
 * processor stay as they are. False where there is no such thing; older kernels take it and go on as before.
 */
export function lengthenTimeSlice(): boolean {
  const number = process.platform === 'linux' ? SYSTEM_CALLS[process.arch] : undefined;
  if (number === undefined) return false;
  try {
    const { load } = createRequire(import.meta.url)('koffi') as typeof koffi;
    const call = load(null).func('long syscall(long number, ...)');
    return call(number, 'int', 0, 'void *', attributes(), 'unsigned int', 0) === 0;
  } catch {
    return false; // koffi has no binary for this system
  }
}

/** The kernel's `struct sched_attr`: ordinary policy, nice as it is. */
function attributes(): Uint8Array {
  const view = new DataView(new ArrayBuffer(STRUCT_BYTES));
  view.setUint32(0, STRUCT_BYTES, true);
  view.setInt32(NICE_AT, getPriority(), true);
  view.setBigUint64(RUNTIME_AT, SLICE_NS, true);
  return new Uint8Array(view.buffer);
}
