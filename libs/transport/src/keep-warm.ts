/** Below the shortest retransmission timeout that TCP uses (200 ms on Linux). */
const BEAT_MS = 100;

/** Beyond it the congestion window has been halved so often that a beat no longer pays. */
const WARM_MS = 1_000;

/**
 * Keeps a TCP connection's congestion window over a short pause. A connection that sent nothing for a retransmission timeout starts again at
 * ten segments (RFC 5681, 4.1), which costs a 50 Mbit/s link of 41 ms some 150 ms of every round; one that sends a few bytes now and then
 * only halves its window each time (RFC 2861). BBR does neither, but most hosts use cubic.
 */
export class KeepWarm {
  private timer: NodeJS.Timeout | undefined;
  private usedAtMs = 0;

  constructor(
    private readonly nowMs: () => number,
    private readonly beat: () => void,
  ) {}

  used(): void {
    this.usedAtMs = this.nowMs();
    this.timer ??= setInterval(() => this.tick(), BEAT_MS).unref();
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private tick(): void {
    const idleMs = this.nowMs() - this.usedAtMs;
    if (idleMs > WARM_MS) this.stop();
    else if (idleMs >= BEAT_MS / 2) this.beat();
  }
}
