/** Below the shortest retransmission timeout that TCP uses (200 ms on Linux). */
const BEAT_MS = 100;

/** Beyond it the congestion window has been halved so often that a beat no longer pays. */
const WARM_MS = 1_000;

/** The window is opened so long before a pause is expected to end, and again each `OPEN_MS`: four doublings take some 200 ms, pauses are not quite alike. */
const LEAD_MS = 1_000;
const OPEN_MS = 200;

/** After a longer pause what slow start costs is of no matter. */
const MOST_PAUSE_MS = 60_000;

/**
 * Keeps a TCP connection's congestion window over a short pause, and opens it before the end of a longer one. A connection that sent nothing
 * for a retransmission timeout starts again at ten segments (RFC 5681, 4.1), which costs a 50 Mbit/s link of 41 ms some 150 ms of every
 * round; one that sends a few bytes now and then only halves its window each time (RFC 2861). BBR does neither, but most hosts use cubic.
 * Rounds last alike: a pause is expected to be as long as the last one.
 */
export class KeepWarm {
  private timer: NodeJS.Timeout | undefined;
  private usedAtMs = 0;
  /** Bytes since the last longer pause. */
  private usedBytes = 0;
  private pauseMs = 0;

  /** `open` sends what opens the window, where `usedBytes` of the last exchange make that worth it. */
  constructor(
    private readonly nowMs: () => number,
    private readonly beat: () => void,
    private readonly open: (usedBytes: number) => void,
  ) {}

  used(bytes: number): void {
    const nowMs = this.nowMs();
    const idleMs = nowMs - this.usedAtMs;
    if (this.usedBytes > 0 && idleMs > WARM_MS) {
      this.pauseMs = idleMs;
      this.usedBytes = 0;
      this.stop();
    }
    this.usedAtMs = nowMs;
    this.usedBytes += bytes;
    if (this.timer === undefined) this.wake(BEAT_MS);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private wake(ms: number): void {
    this.timer = setTimeout(() => this.tick(), ms).unref();
  }

  private tick(): void {
    this.timer = undefined;
    const idleMs = this.nowMs() - this.usedAtMs;
    const leftMs = this.pauseMs - idleMs;
    if (idleMs <= WARM_MS) {
      if (idleMs >= BEAT_MS / 2) this.beat();
      this.wake(BEAT_MS);
    } else if (this.pauseMs > MOST_PAUSE_MS || leftMs <= 0) {
      return;
    } else if (leftMs > LEAD_MS) {
      this.wake(leftMs - LEAD_MS);
    } else {
      this.open(this.usedBytes);
      this.wake(OPEN_MS);
    }
  }
}
