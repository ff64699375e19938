import type { Chain, Chains } from './chain.js';

/** Of devices that were not matched. */
const NOBODY = -1;

/** A gain that is smaller is rounding. */
const GAIN = 1e-9;

/** Groups do whole samples; between those that do as many, what is over decides. */
const PART = 1e-3;

/** Devices, and what any two of them manage as a chain. */
export class Pairs {
  /** [a, b]: samples, and whole ones; 0: they are no chain. */
  readonly samples: Float64Array;
  readonly whole: Int32Array;

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

interface Pairing {
  readonly pairs: readonly Chain[];
  readonly left: readonly number[];
}

/**
 * Devices matched into chains of two that manage many whole samples between them: the best pairs first, then two pairs
 * exchange partners, or a device leaves its own for a better one, for as long as that is a gain.
 */
export function pairUp({ chains, devices, samples, whole }: Pairs): Pairing {
  const matching = new Matching(
    devices.length,
    samples.map((of, at) => whole[at]! + PART * (of - whole[at]!)),
  );
  const mates = matching.run();
  return {
    pairs: mates.flatMap((mate, a) => (mate > a ? [chains.ofTwo(devices[a]!, devices[mate]!)] : [])),
    left: devices.filter((_, a) => mates[a] === NOBODY),
  };
}

/** `worth` [a, b]: what the two are worth together, 0 where they are no pair. */
class Matching {
  private readonly mates: Int32Array;

  constructor(
    private readonly count: number,
    private readonly worth: Float64Array,
  ) {
    this.mates = new Int32Array(count).fill(NOBODY);
  }

  /** Each one's partner, or NOBODY. */
  run(): readonly number[] {
    this.matchBestFirst();
    for (let changed = true; changed;) {
      changed = false;
      for (let a = 0; a < this.count; a++) for (let b = 0; b < this.count; b++) if (this.improve(a, b)) changed = true;
    }
    return [...this.mates];
  }

  private matchBestFirst(): void {
    const { worth, count, mates } = this;
    const pairs: number[] = [];
    for (let a = 0; a < count; a++) for (let b = a + 1; b < count; b++) if (worth[a * count + b]! > 0) pairs.push(a * count + b);
    pairs.sort((x, y) => worth[y]! - worth[x]! || x - y);
    for (const pair of pairs) {
      const [a, b] = [Math.floor(pair / count), pair % count];
      if (mates[a] === NOBODY && mates[b] === NOBODY) this.join(a, b);
    }
  }

  /** Makes a pair of these two, and of those that they leave, where that is worth more. */
  private improve(a: number, b: number): boolean {
    const { worth, count, mates } = this;
    const together = worth[a * count + b]!;
    const [left, right] = [mates[a]!, mates[b]!];
    if (together === 0 || left === b) return false;
    const before = (left === NOBODY ? 0 : worth[a * count + left]!) + (right === NOBODY ? 0 : worth[b * count + right]!);
    const others = left === NOBODY || right === NOBODY ? 0 : worth[left * count + right]!;
    if (together + others <= before + GAIN) return false;
    if (left !== NOBODY) mates[left] = NOBODY;
    if (right !== NOBODY) mates[right] = NOBODY;
    this.join(a, b);
    if (others > 0) this.join(left, right);
    return true;
  }

  private join(a: number, b: number): void {
    this.mates[a] = b;
    this.mates[b] = a;
  }
}
