import { passMs, type DeviceSpeed, type LongtailError, type Rng } from '@longtail/core';
import { PacedDevice, type DeviceWatch } from './paced-device.js';
import { Thermal, type ThermalSpec } from './thermal.js';
import type { VirtualClock } from './virtual-clock.js';

export interface DevicePace extends DeviceSpeed {
  readonly prepareMs: number;
  /** Of each task beside its passes. @default 0 */
  readonly taskMs?: number | undefined;
  /** @default as fast hot as cool */
  readonly thermal?: ThermalSpec | undefined;
  /** Before it prepares for the first time, as what it needs comes from elsewhere. @default 0 */
  readonly downloadMs?: number;
}

/** When a device does what it is asked for, and how long that takes it; what comes of it is another's. */
export class VirtualDevice extends PacedDevice {
  /** The next task fails with this. */
  failure: LongtailError | undefined;
  private isBusy = false;
  private line: Promise<unknown> = Promise.resolve();
  private downloaded = false;

  constructor(
    clock: VirtualClock,
    private readonly pace: DevicePace,
    private readonly rng: Rng,
    watch: DeviceWatch | undefined,
  ) {
    super(clock, pace.thermal && new Thermal(pace.thermal), watch);
  }

  /** In whole passes. */
  get samplesPerSecond(): number {
    return this.pace.samplesPerSecond / this.slowdown;
  }

  /** Until it may build a model. */
  protected async getReady(signal: AbortSignal): Promise<void> {
    const { clock, pace } = this;
    if (!this.downloaded) await clock.sleep(pace.downloadMs ?? 0, signal);
    this.downloaded = true;
    await clock.sleep(pace.prepareMs, signal);
    const failure = this.takeFailure();
    if (failure !== undefined) throw failure;
  }

  /** Undefined: that takes no time. */
  takeTask(signal: AbortSignal): Promise<void> | undefined {
    const { clock, pace } = this;
    return pace.taskMs === undefined ? undefined : clock.sleep(pace.taskMs, signal);
  }

  /** `part` of a whole pass. Resolves with how long it took. */
  pass(samples: number, part: number, signal: AbortSignal): Promise<number> {
    const failure = this.takeFailure();
    if (failure !== undefined) return Promise.reject(failure);
    return this.work(passMs(this.pace, samples, part, this.rng), signal);
  }

  /** Arithmetic takes no virtual time. */
  outside<T>(result: T | Promise<T>): Promise<T> | T {
    return result instanceof Promise ? this.clock.outsideWork(result) : result;
  }

  /** Passes may be given before those ahead of them are done. */
  inLine<T>(call: () => Promise<T>): Promise<T> {
    const turn = this.line.then(() => this.exclusively(call));
    this.line = turn.catch(() => undefined);
    return turn;
  }

  /** The contract of Compute: all else one call at a time. */
  async exclusively<T>(call: () => Promise<T>): Promise<T> {
    this.begin();
    try {
      return await call();
    } finally {
      this.free();
    }
  }

  /** A call, which ends with `free` or `calledOff`. */
  begin(): void {
    if (this.isBusy) throw new Error('two calls of a device at once');
    this.isBusy = true;
  }

  readonly free = (): void => {
    this.isBusy = false;
  };

  readonly calledOff = (reason: unknown): never => {
    this.free();
    throw reason;
  };

  private takeFailure(): LongtailError | undefined {
    const { failure } = this;
    this.failure = undefined;
    return failure;
  }
}
