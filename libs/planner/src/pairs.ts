import type { Chains } from './chain.js';

/** A gain that is smaller is rounding. */
const GAIN = 1e-9;

/** Whether devices are matchable is asked of one in so many. */
const ASKED = 8;

/** Part of the devices, by some of them, that are a chain with another one. */
export function matchable(chains: Chains, devices: readonly number[]): number {
  const asked = devices.filter((_, a) => a % ASKED === 0);
  return asked.filter((a) => devices.some((b) => a !== b && chains.samplesOfTwo(a, b) > 0)).length / asked.length;
}

/** Devices, and what any two of them manage as a chain. */
export class Pairs {
  /** [a, b]: samples, and whole ones; 0: they are no chain. */
  readonly samples: Float64Array;
  readonly whole: Int32Array;

  /** Whole samples of the best pair of the device at this place. */
  mostOf(a: number): number {
    const count = this.devices.length;
    return this.whole.subarray(a * count, (a + 1) * count).reduce((most, of) => Math.max(most, of), 0);
  }

  constructor(
    readonly chains: Chains,
    readonly devices: readonly number[],
  ) {
    const count = devices.length;
    this.samples = new Float64Array(count ** 2);
    this.whole = new Int32Array(count ** 2);
    for (let a = 0; a < count; a++) {
      for (let b = a + 1; b < count; b++) {
        const samples = chains.samplesOfTwo(devices[a]!, devices[b]!);
        this.samples[a * count + b] = this.samples[b * count + a] = samples;
        this.whole[a * count + b] = this.whole[b * count + a] = Math.floor(samples + GAIN);
      }
    }
  }
}
