import type { DataFile, WireError } from '@longtail/core';
import type { TaskKind } from '@longtail/protocol';

/** What a worker goes through, for the one who lends the machine. */
export type WorkerEvent =
  | { readonly event: 'joined'; readonly node: string; readonly peer: string }
  /** The way to the server was measured. */
  | { readonly event: 'link'; readonly upBitsPerSecond: number; readonly roundTripMs: number }
  | { readonly event: 'disconnected'; readonly reason: string }
  | { readonly event: 'reconnecting'; readonly inMs: number; readonly reason: string }
  /** The blocks of the model are timed, for whoever lays the job out. */
  | { readonly event: 'profiling'; readonly run: string; readonly job: string }
  /** `module`: the job's own code that will run here, by its content. */
  | { readonly event: 'preparing'; readonly run: string; readonly job: string; readonly module?: DataFile }
  | { readonly event: 'ready'; readonly run: string; readonly samplesPerSecond: number; readonly parameters: number }
  | { readonly event: 'task'; readonly run: string; readonly task: number; readonly kind: TaskKind; readonly samples: number }
  | {
      readonly event: 'done';
      readonly run: string;
      readonly task: number;
      readonly kind: TaskKind;
      readonly samples: number;
      readonly computeMs: number;
      /** Of an evaluation: the parameters, as the CRC-32C of its values in float32. Who holds the same blocks of a version has the same. */
      readonly held?: { readonly version: number; readonly crc: number };
    }
  | {
      readonly event: 'receipt';
      readonly run: string;
      readonly task: number;
      readonly accepted: boolean;
      readonly weight: number;
      readonly staleness: number;
      readonly reason: string;
    }
  /** It takes no work until it resumes. */
  | { readonly event: 'paused'; readonly reason: string }
  | { readonly event: 'resumed' }
  | { readonly event: 'released'; readonly run: string; readonly reason: string }
  /** Task 0: preparing the run. */
  | { readonly event: 'failed'; readonly run: string; readonly task: number; readonly error: WireError };
