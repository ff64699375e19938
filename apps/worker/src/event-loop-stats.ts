import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { WorkerStats } from './events.js';

const RESOLUTION_MS = 5;

/** Measures how long the event loop kept its callers waiting; `take` reports and starts anew. */
export class EventLoopStats {
  private readonly histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  constructor() {
    this.histogram.enable();
  }

  take(): WorkerStats {
    const { max, percentile } = { max: this.histogram.max, percentile: this.histogram.percentile(99) };
    this.histogram.reset();
    const { rss, heapUsed, external } = process.memoryUsage();
    // The histogram counts the timer's own period in.
    return {
      eventLoopMaxMs: Math.max(0, max / 1e6 - RESOLUTION_MS),
      eventLoopP99Ms: Math.max(0, percentile / 1e6 - RESOLUTION_MS),
      residentBytes: rss,
      heapBytes: heapUsed,
      bufferBytes: external,
    };
  }

  stop(): void {
    this.histogram.disable();
  }
}
