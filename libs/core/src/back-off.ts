import type { Rng } from './rng.js';

const FIRST_MS = 250;
const LONGEST_MS = 5000;

/** Pauses between looks for a server that went away: they double from 0.25 s to 5 s, with jitter of a quarter, so that those who lost the same server do not come back in one instant. */
export class BackOff {
  private pauseMs = FIRST_MS;

  constructor(private readonly rng: Rng) {}

  reset(): void {
    this.pauseMs = FIRST_MS;
  }

  nextMs(): number {
    const inMs = Math.round(this.pauseMs * (0.75 + 0.5 * this.rng.uniform()));
    this.pauseMs = Math.min(LONGEST_MS, 2 * this.pauseMs);
    return inMs;
  }
}
