import { TokenBucket, wireBytes } from './token-bucket.js';

interface Carried {
  readonly dueMs: number;
  deliver(): void;
}

/** Timers count whole milliseconds: what is due within half of one is due. */
const TIMER_MS = 0.5;

/** One direction of an emulated link: a queue before a transmitter of a given rate, then a delay. What comes first leaves first. */
export class EmulatedWay {
  private readonly transmitter: TokenBucket;
  private readonly carried: Carried[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(
    bitsPerSecond: number,
    private readonly delayMs: number,
    private readonly nowMs: () => number,
  ) {
    this.transmitter = new TokenBucket(bitsPerSecond, 0);
  }

  /** Delivers when `bytes` have passed; gives how long they wait for the transmitter to be done with them. */
  carry(bytes: number, deliver: () => void): number {
    const nowMs = this.nowMs();
    const sentAtMs = this.transmitter.take(wireBytes(bytes), nowMs);
    this.carried.push({ dueMs: sentAtMs + this.delayMs, deliver });
    this.wake();
    return sentAtMs - nowMs;
  }

  /** Whatever is on its way is lost. */
  close(): void {
    clearTimeout(this.timer);
    this.carried.length = 0;
  }

  private wake(): void {
    const [next] = this.carried;
    if (next === undefined) return;
    this.timer ??= setTimeout(() => this.deliverDue(), Math.max(1, next.dueMs - this.nowMs()));
  }

  private deliverDue(): void {
    this.timer = undefined;
    const dueMs = this.nowMs() + TIMER_MS;
    while (this.carried.length > 0 && this.carried[0]!.dueMs <= dueMs) this.carried.shift()!.deliver();
    this.wake();
  }
}
