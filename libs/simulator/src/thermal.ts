/** A device that becomes slower under load. */
export interface ThermalSpec {
  /** Of its rate, when it is hot through. */
  readonly fraction: number;
  /** In which it comes 63 % nearer to that under load, and to being cool at rest. */
  readonly timeConstantMs: number;
}

const ITERATIONS = 40;

/**
 * How hot a device is, as a first-order system (Newton's law of cooling): heat h goes to 1 under load and to 0 at rest as e^(−t/τ),
 * and the rate is 1 − (1 − fraction) · h of that of a cool one.
 */
export class Thermal {
  private heat = 0;
  private atMs = 0;

  constructor(private readonly spec: ThermalSpec) {}

  /** It was idle until now. */
  rest(nowMs: number): void {
    this.heat *= Math.exp((this.atMs - nowMs) / this.spec.timeConstantMs);
    this.atMs = nowMs;
  }

  /** What takes a cool device `workMs` takes it so long from now on. */
  msFor(workMs: number): number {
    // Work over time is concave: from the left Newton's method comes nearer with every step, and never beyond.
    let ms = workMs;
    for (let i = 0; i < ITERATIONS; i++) {
      const missing = workMs - this.workIn(ms);
      if (missing <= 1e-9 * workMs) break;
      ms += missing / this.rateAfter(ms);
    }
    return ms;
  }

  /** It was at work until now: what that would have taken a cool one. */
  work(nowMs: number): number {
    const ms = nowMs - this.atMs;
    const done = this.workIn(ms);
    this.heat = this.heatAfter(ms);
    this.atMs = nowMs;
    return done;
  }

  private heatAfter(ms: number): number {
    return 1 - (1 - this.heat) * Math.exp(-ms / this.spec.timeConstantMs);
  }

  private rateAfter(ms: number): number {
    return 1 - (1 - this.spec.fraction) * this.heatAfter(ms);
  }

  /** The integral of the rate. */
  private workIn(ms: number): number {
    const { fraction, timeConstantMs } = this.spec;
    return fraction * ms + (1 - fraction) * (1 - this.heat) * timeConstantMs * -Math.expm1(-ms / timeConstantMs);
  }
}
