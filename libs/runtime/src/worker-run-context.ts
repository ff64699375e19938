import type { AllocateTensor, Clock, Codec, Compute, PeerNetwork } from '@longtail/core';
import type { WorkerMessage } from '@longtail/protocol';
import type { CreateFeedback, FileCache, WorkerConnection } from './ports.js';
import type { WorkerEvent } from './worker-events.js';

/** What a worker has for a run. */
export interface WorkerRunContext {
  readonly connection: WorkerConnection;
  readonly compute: Compute;
  readonly fileCache: FileCache;
  readonly codecs: readonly Codec[];
  createFeedback: CreateFeedback;
  crc32c(bytes: Uint8Array): number;
  /** Memory for what is sent to the server. @default that of JavaScript */
  readonly allocate?: AllocateTensor;
  readonly clock: Clock;
  readonly chunkLength: number;
  /** Direct links to other workers; undefined: everything goes through the server. */
  readonly peers?: PeerNetwork;
  /** Over which messages go to the server. */
  readonly session: { send(message: WorkerMessage): void };
  /** @default nobody listens */
  readonly log?: ((event: WorkerEvent) => void) | undefined;
}
