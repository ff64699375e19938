/** Ethernet, IP and TCP headers: a frame of 1514 bytes carries 1448. */
const HEADER_FACTOR = 1514 / 1448;

/** What `bytes` of a connection take of a link, headers counted. */
export function wireBytes(bytes: number): number {
  return bytes * HEADER_FACTOR;
}

/**
 * A rate, and how much may go at once: over any time t, those who wait as they are told send at most `rate · t + burst`. It is the
 * virtual scheduling form of the generic cell rate algorithm (ITU-T I.371): no timer fills it.
 */
export class TokenBucket {
  private readonly bytesPerMs: number;
  /** When all that was taken has passed at the rate. */
  private passedAtMs = -Infinity;

  constructor(
    bitsPerSecond: number,
    readonly burstBytes: number,
  ) {
    this.bytesPerMs = bitsPerSecond / 8000;
  }

  /** How long `bytes`, at most the burst, have to wait. */
  waitMs(bytes: number, nowMs: number): number {
    return Math.max(0, this.passedAtMs + (bytes - this.burstBytes) / this.bytesPerMs - nowMs);
  }

  /** Gives when `bytes`, which go now, have passed at the rate. */
  take(bytes: number, nowMs: number): number {
    this.passedAtMs = Math.max(this.passedAtMs, nowMs) + bytes / this.bytesPerMs;
    return this.passedAtMs;
  }
}
