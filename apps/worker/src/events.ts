import type { DeviceInfo, WireError } from '@longtail/core';
import type { WorkerEvent } from '@longtail/runtime/worker';

export type { WorkerEvent } from '@longtail/runtime/worker';

/** What a worker process tells its parent, over the channel between them. */
export type WorkerMessage =
  /** Jobs' modules run behind walls of this kind, as this user. */
  | { readonly type: 'confined'; readonly by: string; readonly user: number }
  | { readonly type: 'device'; readonly device: DeviceInfo; readonly choice: string }
  /** What its owner's limits are watched by. */
  | { readonly type: 'limits'; readonly watched: readonly string[] }
  | { readonly type: 'event'; readonly event: WorkerEvent }
  | { readonly type: 'stats'; readonly stats: WorkerStats }
  | { readonly type: 'ended'; readonly reason: string; readonly error?: WireError };

/** What a parent tells a worker process: to leave, within seconds. */
export interface ParentMessage {
  readonly type: 'leave';
  readonly reason: string;
}

/** How the worker itself is: its event loop must answer even while a step computes. */
export interface WorkerStats {
  /** Longest and 99th percentile delay of the event loop since the last report. */
  readonly eventLoopMaxMs: number;
  readonly eventLoopP99Ms: number;
  readonly residentBytes: number;
  /** JavaScript objects of this thread, and buffers outside of its heap. */
  readonly heapBytes: number;
  readonly bufferBytes: number;
}
