import { TokenBucket, wireBytes } from './token-bucket.js';

/** At once: so much that a timer that is late costs nothing, and no queue to speak of before anybody's modem. */
const BURST_MS = 20;
const LEAST_BURST_BYTES = 8 * 1024;

/** What a node's owner lets it send: of all its tensors together, to the server and to neighbours, headers counted. */
export class UploadLimit {
  /** Pieces are no larger: half of what may go at once, so that the other half covers late timers. */
  readonly pieceBytes: number;
  private readonly bucket: TokenBucket;

  constructor(bitsPerSecond: number) {
    const burstBytes = Math.max(LEAST_BURST_BYTES, (BURST_MS * bitsPerSecond) / 8000);
    this.pieceBytes = Math.floor(burstBytes / 2);
    this.bucket = new TokenBucket(bitsPerSecond, wireBytes(burstBytes));
  }

  /** How long a piece has to wait. */
  waitMs(bytes: number, nowMs: number): number {
    return this.bucket.waitMs(wireBytes(bytes), nowMs);
  }

  /** What goes without waiting, acknowledgements and the heads of frames, is counted too. */
  sent(bytes: number, nowMs: number): void {
    this.bucket.take(wireBytes(bytes), nowMs);
  }
}
