/** Who sent nothing for so long does not send at present. */
const HORIZON_MS = 250;

/** A rate over less time would be that of a burst. */
const LEAST_MS = 50;

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

  /** Something came; gives all that came of late over the number of its senders, in bytes/ms, and 0 where there is one only. */
  arrived(sender: object, bytes: number, atMs: number): number {
    this.arrivals.push({ sender, bytes, atMs });
    this.bytes += bytes;
    this.ofSender.set(sender, (this.ofSender.get(sender) ?? 0) + 1);
    while (this.arrivals[0]!.atMs < atMs - HORIZON_MS) this.forgetFirst();
    const [first] = this.arrivals;
    const { size } = this.ofSender;
    return size === 1 ? 0 : (this.bytes - first!.bytes) / Math.max(LEAST_MS, atMs - first!.atMs) / size;
  }

  private forgetFirst(): void {
    const { sender, bytes } = this.arrivals.shift()!;
    this.bytes -= bytes;
    const left = this.ofSender.get(sender)! - 1;
    if (left === 0) this.ofSender.delete(sender);
    else this.ofSender.set(sender, left);
  }
}
