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

  /** Something came; gives all that came of late over the number of its senders, in bytes/ms, and 0 where there is one only. */
  arrived(sender: object, bytes: number, atMs: number): number {
    this.arrivals.push({ sender, bytes, atMs });
    while (this.arrivals[0]!.atMs < atMs - HORIZON_MS) this.arrivals.shift();
    const [first, ...later] = this.arrivals;
    const senders = new Set(this.arrivals.map((arrival) => arrival.sender)).size;
    if (senders === 1) return 0;
    const total = later.reduce((sum, arrival) => sum + arrival.bytes, 0);
    return total / Math.max(LEAST_MS, atMs - first!.atMs) / senders;
  }
}
