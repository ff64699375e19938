import type { Pauses } from '@longtail/runtime';
import type { Fault } from './faults.js';
import type { MemoryFiles } from './memory-files.js';
import type { ProcessClock } from './process-clock.js';
import type { VirtualCompute } from './virtual-compute.js';
import type { VirtualLink } from './virtual-network.js';

/** A worker's process. */
export interface Actor {
  readonly clock: ProcessClock;
  readonly compute: VirtualCompute;
  readonly files: MemoryFiles;
  readonly stop: AbortController;
  /** Undefined: nothing happens to it. */
  readonly finish: AbortController | undefined;
  readonly pauses: Pauses;
  link: VirtualLink | undefined;
  /** No new dials after this. */
  dead: boolean;
  /** No dial gets through before. */
  unreachableUntilMs: number;
  poisoned: Fault | undefined;
  /** Of its next message, and of the next chunk that is sent to it. */
  message: Extract<Fault, { kind: 'message' }> | undefined;
  tamperDown: Extract<Fault, { kind: 'tamper-down' }> | undefined;
}
