import type { Chain } from './chain.js';
import type { Pairs } from './pairs.js';

/** Of devices that were not matched, and of those in sets of three or more or in other groups. */
const NOBODY = -1;
const SEVERAL = -2;

/** A gain that is smaller is rounding. */
const GAIN = 1e-9;

/** Groups do whole samples; between those that do as many, what is over decides. */
const PART = 1e-3;

/** Sets of three or more that are weighed, and how often each. */
const MOST_SETS = 600;
const TURNS = 3;

export interface Matched {
  readonly matched: readonly Chain[];
  readonly left: readonly number[];
}

/**
 * Devices matched into chains that manage many whole samples between them. First of two: the best pairs, then two pairs exchange partners, or a device
 * leaves its own for a better one, for as long as that is a gain; then of these sets of three or more, the best of which come first: any that is
 * worth more than the groups that it breaks up, with what those who are left of them make of it. `taken`: devices that are in other groups.
 */
export function matchUp(pairs: Pairs, sets: readonly (readonly number[])[] = [], taken: ReadonlySet<number> = new Set()): Matched {
  const matching = new Matching(pairs, taken);
  matching.pairUp();
  const free = sets.filter((set) => !set.some((device) => taken.has(device)));
  const distinct = new Map(free.map((set) => [[...set].sort((a, b) => a - b).join(), set]));
  const weighed = [...distinct.values()].slice(0, MOST_SETS).flatMap((set) => matching.weigh(set) ?? []);
  for (let turn = 0; turn < TURNS && matching.take(weighed); turn++) matching.pairUp();
  return matching.result();
}

/** By place among the devices. */
interface Several {
  readonly members: readonly number[];
  readonly chain: Chain;
  readonly worth: number;
}

class Matching {
  private readonly count: number;
  /** [a, b]: what the two are worth together, 0 where they are no pair. */
  private readonly worth: Float64Array;
  private readonly mates: Int32Array;
  private readonly places: ReadonlyMap<number, number>;
  private readonly severalOf: (Several | undefined)[];

  constructor(
    private readonly pairs: Pairs,
    taken: ReadonlySet<number>,
  ) {
    const { devices, samples, whole } = pairs;
    this.count = devices.length;
    this.worth = samples.map((of, at) => worthOf(of, whole[at]!));
    this.mates = Int32Array.from(devices, (device) => (taken.has(device) ? SEVERAL : NOBODY));
    this.places = new Map(devices.map((device, place) => [device, place]));
    this.severalOf = devices.map(() => undefined);
  }

  /** Those that are not in larger sets. */
  pairUp(): void {
    this.matchBestFirst();
    for (let changed = true; changed;) {
      changed = false;
      for (let a = 0; a < this.count; a++) if (this.improveWith(a)) changed = true;
    }
  }

  /** As the best chain of all of them; undefined: there is none. */
  weigh(set: readonly number[]): Several | undefined {
    let chain: Chain | undefined;
    for (const order of ordersOf(set)) chain = this.pairs.chains.of(Int32Array.from(order), chain?.samples) ?? chain;
    if (chain === undefined || chain.stages.length < set.length) return undefined;
    return { members: set.map((device) => this.places.get(device)!), chain, worth: worthOf(chain.samples, Math.floor(chain.samples + GAIN)) };
  }

  /** Those that are a gain; returns whether there was one. */
  take(sets: readonly Several[]): boolean {
    let taken = false;
    for (const set of sets) if (this.severalOf[set.members[0]!] !== set && this.replace(set)) taken = true;
    return taken;
  }

  result(): Matched {
    const { devices, chains } = this.pairs;
    const several = [...new Set(this.severalOf)].flatMap((set) => set?.chain ?? []);
    const pairs = [...this.mates].flatMap((mate, a) => (mate > a ? [chains.ofTwo(devices[a]!, devices[mate]!)] : []));
    return { matched: [...pairs, ...several], left: devices.filter((_, a) => this.mates[a] === NOBODY) };
  }

  /** Of those that are free, the two worth most together, for as long as there are two. */
  private matchBestFirst(): void {
    const { worth, count, mates } = this;
    // By place: of those behind it the one that it is worth most with.
    const best = new Int32Array(count).fill(NOBODY);
    const seek = (a: number) => {
      let [most, found] = [0, NOBODY];
      for (let b = a + 1; b < count; b++) {
        if (mates[b] !== NOBODY || worth[a * count + b]! <= most) continue;
        most = worth[a * count + b]!;
        found = b;
      }
      best[a] = found;
    };
    for (let a = 0; a < count; a++) if (mates[a] === NOBODY) seek(a);
    for (;;) {
      let [most, first] = [0, NOBODY];
      for (let a = 0; a < count; a++) {
        if (mates[a] !== NOBODY || best[a] === NOBODY) continue;
        if (mates[best[a]!] !== NOBODY) seek(a);
        if (best[a] === NOBODY || worth[a * count + best[a]!]! <= most) continue;
        most = worth[a * count + best[a]!]!;
        first = a;
      }
      if (first === NOBODY) return;
      this.join(first, best[first]!);
    }
  }

  /** Makes pairs of this device and others, and of those that they leave, where that is worth more. */
  private improveWith(a: number): boolean {
    const { worth, count, mates } = this;
    let changed = false;
    for (let b = 0; b < count && mates[a] !== SEVERAL; b++) {
      const together = worth[a * count + b]!;
      const [left, right] = [mates[a]!, mates[b]!];
      if (together === 0 || left === b || right === SEVERAL) continue;
      const before = (left === NOBODY ? 0 : worth[a * count + left]!) + (right === NOBODY ? 0 : worth[b * count + right]!);
      const others = left === NOBODY || right === NOBODY ? 0 : worth[left * count + right]!;
      if (together + others <= before + GAIN) continue;
      if (left !== NOBODY) mates[left] = NOBODY;
      if (right !== NOBODY) mates[right] = NOBODY;
      this.join(a, b);
      if (others > 0) this.join(left, right);
      changed = true;
    }
    return changed;
  }

  /** Breaks up what its members are in, and makes pairs of those who are left, where that is worth more. */
  private replace(set: Several): boolean {
    const { mates, severalOf, worth, count } = this;
    const broken = new Set(set.members.flatMap((member) => severalOf[member] ?? []));
    const left = new Set<number>();
    let before = 0;
    for (const other of broken) {
      before += other.worth;
      for (const member of other.members) left.add(member);
    }
    for (const member of set.members) {
      const mate = mates[member]!;
      if (mate < 0) continue;
      if (!left.has(member)) before += worth[member * count + mate]!;
      left.add(member).add(mate);
    }
    for (const member of set.members) left.delete(member);
    const made = this.pairsOf([...left], set.members);
    if (set.worth + made.reduce((sum, [a, b]) => sum + worth[a * count + b]!, 0) <= before + GAIN) return false;
    for (const other of broken) for (const member of other.members) severalOf[member] = undefined;
    for (const place of left) mates[place] = NOBODY;
    for (const member of set.members) {
      mates[member] = SEVERAL;
      severalOf[member] = set;
    }
    for (const [a, b] of made) this.join(a, b);
    return true;
  }

  /** Of some devices, with one another or with others that are free, the best first. */
  private pairsOf(some: readonly number[], taken: readonly number[]): readonly (readonly [number, number])[] {
    const { worth, count, mates } = this;
    const left = new Set(some);
    const partners = new Set(some);
    for (let place = 0; place < count; place++) if (mates[place] === NOBODY && !taken.includes(place)) partners.add(place);
    const made: (readonly [number, number])[] = [];
    for (;;) {
      let [most, first, second] = [0, NOBODY, NOBODY];
      for (const a of left) {
        for (const b of partners) {
          const of = worth[a * count + b]!;
          if (of > most) [most, first, second] = [of, a, b];
        }
      }
      if (most === 0) return made;
      made.push([first, second]);
      for (const one of [first, second]) {
        left.delete(one);
        partners.delete(one);
      }
    }
  }

  private join(a: number, b: number): void {
    this.mates[a] = b;
    this.mates[b] = a;
  }
}

/** In samples of which whole ones count. */
function worthOf(samples: number, whole: number): number {
  return whole + PART * (samples - whole);
}

export function ordersOf(set: readonly number[]): readonly (readonly number[])[] {
  if (set.length < 2) return [set];
  return set.flatMap((first) => ordersOf(set.filter((other) => other !== first)).map((others) => [first, ...others]));
}
