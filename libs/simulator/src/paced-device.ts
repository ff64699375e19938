import type { Thermal } from './thermal.js';
import { Alarm, type VirtualClock } from './virtual-clock.js';

/** Told when a work of a device begins, and when it ends. */
export interface DeviceWatch {
  computes(begins: boolean): void;
}

/** Whose promise is being made: one function for all devices, so that none touches one of its own for each work. */
let waits: PacedDevice;
const WAIT = (resolve: (ms: number) => void, reject: (reason: Error) => void): void => waits.promised(resolve, reject);

/** Does one work after the other, at a pace that may change under way. Rings when the one under way is done. */
export class PacedDevice extends Alarm {
  private slowness = 1;
  private isUnderWay = false;
  private startedAtMs = 0;
  /** What it takes a cool device that nothing slows down, from `sinceMs` on. */
  private leftMs = 0;
  private sinceMs = 0;
  private resolve!: (ms: number) => void;
  private reject!: (reason: Error) => void;
  /** Of the last work. Has a listener: most works are done under the same one, and to listen anew is dear. */
  private signal: AbortSignal | undefined;

  constructor(
    protected readonly clock: VirtualClock,
    private readonly thermal: Thermal | undefined,
    private readonly watch: DeviceWatch | undefined,
  ) {
    super();
  }

  get slowdown(): number {
    return this.slowness;
  }

  /** Above 1: the device is that much slower for now, the work under way included. */
  set slowdown(factor: number) {
    if (this.isUnderWay) this.leftMs -= this.doneMs() / this.slowness;
    this.slowness = factor;
    if (this.isUnderWay) this.goOn();
  }

  /** What takes a cool device `ms` by itself. Resolves with how long it took; rejects with the signal's reason. */
  work(ms: number, signal: AbortSignal): Promise<number> {
    const startedAtMs = this.clock.nowMs();
    this.thermal?.rest(startedAtMs);
    if (!(ms > 0)) return Promise.resolve(0);
    if (signal !== this.signal && signal.aborted) return Promise.reject(signal.reason as Error);
    this.listenTo(signal);
    this.watch?.computes(true);
    this.isUnderWay = true;
    this.startedAtMs = startedAtMs;
    this.leftMs = ms;
    this.goOn();
    waits = this;
    return new Promise(WAIT);
  }

  /** How the promise of the work that just began is settled. */
  promised(resolve: (ms: number) => void, reject: (reason: Error) => void): void {
    this.resolve = resolve;
    this.reject = reject;
  }

  ring(): void {
    this.thermal?.work(this.clock.nowMs());
    this.end();
    this.resolve(this.clock.nowMs() - this.startedAtMs);
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

  private end(): void {
    this.isUnderWay = false;
    this.clock.cancel(this);
    this.watch?.computes(false);
  }

  private listenTo(signal: AbortSignal): void {
    if (signal === this.signal) return;
    this.signal?.removeEventListener('abort', this.aborted);
    this.signal = signal;
    signal.addEventListener('abort', this.aborted);
  }

  private readonly aborted = (): void => {
    const { signal } = this;
    this.signal = undefined;
    if (!this.isUnderWay) return;
    this.end();
    this.reject(signal!.reason as Error);
  };
}
