import type { Rng } from './rng.js';

/** What tells how long passes of a device take that is simulated or emulated. */
export interface DeviceSpeed {
  /** Of whole passes, forward and backward. */
  readonly samplesPerSecond: number;
  /** Of every pass, however few samples it has. */
  readonly overheadMs: number;
  /** Passes take up to this fraction more or less. */
  readonly jitter: number;
}

/** Of a whole pass, what is without the backward one. */
export const FORWARD_PART = 1 / 3;
/** Of a backward pass, what leads to the gradient of the inputs. */
export const INPUT_GRADIENT_PART = 1 / 2;

/** For `part` of a whole pass, of its blocks or of its work; `rng` draws the jitter. */
export function passMs({ samplesPerSecond, overheadMs, jitter }: DeviceSpeed, samples: number, part: number, rng: Pick<Rng, 'uniform'>): number {
  const noise = jitter === 0 ? 1 : 1 + jitter * (2 * rng.uniform() - 1);
  return noise * (overheadMs + (part * 1000 * samples) / samplesPerSecond);
}
