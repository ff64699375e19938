import type { Thermal } from './thermal.js';
import { Alarm, type VirtualClock } from './virtual-clock.js';

interface Work {
  readonly signal: AbortSignal;
  readonly startedAtMs: number;
  resolve(ms: number): void;
  reject(reason: Error): void;
}

/** Does one work after the other, at a pace that may change under way. Rings when the one under way is done. */
export class PacedDevice extends Alarm {
  private slowness = 1;
  private underWay: Work | undefined;
  /** Of the one under way: what it takes a cool device that nothing slows down, from `sinceMs` on. */
  private leftMs = 0;
  private sinceMs = 0;
  /** Of the last work. Has a listener: most works are done under the same one, and to listen anew is dear. */
  private signal: AbortSignal | undefined;

  constructor(
    private readonly clock: VirtualClock,
    private readonly thermal: Thermal | undefined,
    /** Told when a work begins, and when it ends. */
    private readonly busy: (isBusy: boolean) => void = () => undefined,
  ) {
    super();
  }

  get slowdown(): number {
    return this.slowness;
  }

  /** Above 1: the device is that much slower for now, the work under way included. */
  set slowdown(factor: number) {
    if (this.underWay !== undefined) this.leftMs -= this.doneMs() / this.slowness;
    this.slowness = factor;
    if (this.underWay !== undefined) this.goOn();
  }

  /** What takes a cool device `ms` by itself. Resolves with how long it took; rejects with the signal's reason. */
  work(ms: number, signal: AbortSignal): Promise<number> {
    const startedAtMs = this.clock.nowMs();
    this.thermal?.rest(startedAtMs);
    if (!(ms > 0)) return Promise.resolve(0);
    return new Promise((resolve, reject) => {
      if (signal !== this.signal && signal.aborted) return reject(signal.reason as Error);
      this.listenTo(signal);
      this.busy(true);
      this.leftMs = ms;
      this.underWay = { signal, startedAtMs, resolve, reject };
      this.goOn();
    });
  }

  ring(): void {
    this.thermal?.work(this.clock.nowMs());
    const { startedAtMs, resolve } = this.end();
    resolve(this.clock.nowMs() - startedAtMs);
  }

  private goOn(): void {
    this.sinceMs = this.clock.nowMs();
    const coolMs = this.slowness * Math.max(0, this.leftMs);
    this.clock.set(this, this.sinceMs + (this.thermal?.msFor(coolMs) ?? coolMs));
  }

  /** Since it last went on: what that takes a cool device that is as slow as this one. */
  private doneMs(): number {
    return this.thermal?.work(this.clock.nowMs()) ?? this.clock.nowMs() - this.sinceMs;
  }

  private end(): Work {
    const work = this.underWay!;
    this.underWay = undefined;
    this.cancel();
    this.busy(false);
    return work;
  }

  private listenTo(signal: AbortSignal): void {
    if (signal === this.signal) return;
    this.signal?.removeEventListener('abort', this.aborted);
    this.signal = signal;
    signal.addEventListener('abort', this.aborted);
  }

  private readonly aborted = (): void => {
    const { signal, underWay } = this;
    this.signal = undefined;
    if (underWay === undefined || underWay.signal !== signal) return;
    this.end().reject(signal!.reason as Error);
  };
}
