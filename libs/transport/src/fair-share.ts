/** Who sent nothing for so long does not send at present. */
const HORIZON_MS = 250;

/** A rate over less time would be that of a burst. */
const LEAST_MS = 50;

/**
 * What came over a whole horizon within so long says what the link carries, at least three quarters of it: bursts make it more. Less comes
 * while senders begin or end, each over a slower link of its own, and is nobody's share.
 */
const MOST_MEMORY_MS = 10_000;
const MOST_PART = 0.75;

interface Arrival {
  readonly sender: object;
  readonly bytes: number;
  readonly atMs: number;
}

/** What each of those who send to one end at the same time may count on. */
export class FairShare {
  private readonly arrivals: Arrival[] = [];
  private bytes = 0;
  /** How many of the arrivals are whose. */
  private readonly ofSender = new Map<object, number>();
  /** In bytes/ms, and when it came. */
  private most = 0;
  private mostAtMs = -Infinity;

  /** Something came; gives what the link carries over the number of those who sent of late, in bytes/ms, and 0 where there is one only. */
  arrived(sender: object, bytes: number, atMs: number): number {
    this.arrivals.push({ sender, bytes, atMs });
    this.bytes += bytes;
    this.ofSender.set(sender, (this.ofSender.get(sender) ?? 0) + 1);
    while (this.arrivals[0]!.atMs < atMs - HORIZON_MS) this.forgetFirst();
    const [first] = this.arrivals;
    const { size } = this.ofSender;
    const ms = atMs - first!.atMs;
    const rate = (this.bytes - first!.bytes) / Math.max(LEAST_MS, ms);
    if (ms >= 0.8 * HORIZON_MS && (rate > this.most || atMs > this.mostAtMs + MOST_MEMORY_MS)) [this.most, this.mostAtMs] = [rate, atMs];
    return size === 1 ? 0 : Math.max(rate, MOST_PART * this.most) / size;
  }

  private forgetFirst(): void {
    const { sender, bytes } = this.arrivals.shift()!;
    this.bytes -= bytes;
    const left = this.ofSender.get(sender)! - 1;
    if (left === 0) this.ofSender.delete(sender);
    else this.ofSender.set(sender, left);
  }
}
