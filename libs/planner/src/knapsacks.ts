import { INNER, LAST } from './layers.js';

/** Whom a knapsack holds: nobody, one lone device that is matched, or anybody else. */
export const [NOBODY, MATCHED, OTHERS] = [0, 1, 2];
export const HOLDINGS = 3;

/** What may be taken of something: places, layers and what each costs. */
export interface Options {
  count: number;
  readonly places: Uint8Array;
  readonly layers: Int16Array;
  readonly costs: Float64Array;
}

export function emptyOptions(width: number): Options {
  return { count: 0, places: new Uint8Array(2 * width), layers: new Int16Array(2 * width), costs: new Float64Array(2 * width) };
}

/** By whether the last block is done, and layers: what costs less than `limit`, each `hop` more. */
export function listBelow(costs: Float64Array, limit: number, hop: number, width: number, into: Options): void {
  into.count = 0;
  for (let at = 0; at < 2 * width; at++) {
    const cost = costs[at]! + hop;
    if (cost >= limit) continue;
    into.places[into.count] = at < width ? INNER : LAST;
    into.layers[into.count] = at % width;
    into.costs[into.count++] = cost;
  }
}

/** A knapsack: least costs by mates, whether the last block is done, and layers; and who takes them. */
export class Reached {
  private readonly costs: Float64Array;
  private readonly next: Float64Array;
  /** Of each device taken up, in turn. */
  private readonly from: Int16Array;
  private readonly devices: Int32Array;
  private readonly width: number;
  private weighed = 0;
  /** Whether there is anything in `next`. */
  private isOffered = false;
  /** Of anybody, whatever is taken. */
  cheapest = Infinity;
  /** By whom it holds: most layers; less than none: there are none such. */
  private readonly furthest: Int32Array;
  private readonly further: Int32Array;
  private readonly size: number;

  constructor(
    count: number,
    private readonly holdings: number,
    /** By layers: what costs as much is of no use. */
    private readonly limits: Float64Array,
  ) {
    const width = (this.width = limits.length);
    this.size = holdings * 2 * width;
    this.costs = new Float64Array(this.size);
    this.next = new Float64Array(this.size);
    this.from = new Int16Array(count * this.size);
    this.devices = new Int32Array(count);
    this.furthest = new Int32Array(holdings);
    this.further = new Int32Array(holdings);
  }

  begin(): void {
    this.costs.fill(Infinity);
    this.costs[0] = 0;
    this.weighed = 0;
    this.cheapest = Infinity;
    this.furthest.fill(-1);
    this.furthest[NOBODY] = 0;
  }

  cost(mates: number, last: number, layers: number): number {
    return this.costs[(mates * 2 + last) * this.width + layers]!;
  }

  insert(device: number, options: Options, as: number): void {
    this.offer(options, as);
    this.take(device);
  }

  /** One of the ways in which the device that is taken up next may be. */
  offer({ count, places, layers, costs: each }: Options, as: number): void {
    const { costs, next, from, width, size, limits, furthest } = this;
    const row = this.weighed * size;
    for (let m = 0; m < this.holdings; m++) {
      if (furthest[m]! < 0) continue;
      const to = as === NOBODY ? m : as === MATCHED && m === NOBODY ? MATCHED : OTHERS;
      if (to >= this.holdings) continue;
      for (let o = 0; o < count; o++) {
        const place = places[o]!;
        const k = layers[o]!;
        const cost = each[o]!;
        if (cost >= limits[k]!) continue;
        const end = Math.min(furthest[m]!, width - 1 - k);
        for (let last = 0; last + place < 2; last++) {
          const base = (m * 2 + last) * width;
          const target = (to * 2 + (last | place)) * width + k;
          for (let at = 0; at <= end; at++) {
            const sum = costs[base + at]! + cost;
            if (sum >= limits[at + k]! || sum >= costs[target + at]!) continue;
            if (!this.isOffered) {
              this.isOffered = true;
              next.set(costs);
              this.further.set(furthest);
              from.fill(0, row, row + size);
            }
            if (sum >= next[target + at]!) continue;
            next[target + at] = sum;
            if (sum < this.cheapest) this.cheapest = sum;
            from[row + target + at] = 1 + base + at;
            if (at + k > this.further[to]!) this.further[to] = at + k;
          }
        }
      }
    }
  }

  /** Takes it up. */
  take(device: number): void {
    if (!this.isOffered) return;
    this.isOffered = false;
    this.costs.set(this.next);
    this.furthest.set(this.further);
    this.devices[this.weighed++] = device;
  }

  /** Whom the cheapest takes, where and with how many layers. */
  forEach(mates: number, last: number, layers: number, visit: (device: number, place: number, layers: number) => void): void {
    let state = (mates * 2 + last) * this.width + layers;
    for (let d = this.weighed - 1; d >= 0; d--) {
      const before = this.from[d * this.size + state]! - 1;
      if (before < 0) continue;
      const lastOf = (at: number) => Math.floor(at / this.width) % 2;
      visit(this.devices[d]!, lastOf(state) - lastOf(before), (state % this.width) - (before % this.width));
      state = before;
    }
  }
}

/** The cheapest two or more whose shares come to so much. */
export class Cover {
  private readonly costs: Float64Array;
  private readonly from: Int32Array;
  private readonly devices: Int32Array;
  private readonly width: number;
  private weighed = 0;
  /** By need, the sum that costs least. */
  private readonly best: Int32Array;
  private furthest = 0;

  constructor(count: number, most: number) {
    this.width = most + 1;
    this.costs = new Float64Array(3 * this.width);
    this.from = new Int32Array(3 * this.width * count);
    this.devices = new Int32Array(count);
    this.best = new Int32Array(this.width);
  }

  begin(): void {
    this.costs.fill(Infinity);
    this.costs[0] = 0;
    this.weighed = 0;
    this.furthest = 0;
  }

  insert(device: number, cost: number, share: number, limit: number): void {
    const { costs, from, width, furthest } = this;
    const row = this.weighed * 3 * width;
    from.fill(-1, row, row + 3 * width);
    for (let m = 2; m >= 0; m--) {
      const to = Math.min(2, m + 1) * width;
      for (let at = furthest; at >= 0; at--) {
        const sum = costs[m * width + at]! + cost;
        if (sum >= limit) continue;
        const target = to + Math.min(width - 1, at + share);
        if (sum >= costs[target]!) continue;
        costs[target] = sum;
        from[row + target] = m * width + at;
      }
    }
    this.furthest = Math.min(width - 1, furthest + share);
    this.devices[this.weighed++] = device;
  }

  settle(): void {
    const { costs, width, best } = this;
    for (let at = width - 1; at >= 0; at--) {
      const state = 2 * width + at;
      best[at] = at + 1 < width && costs[best[at + 1]!]! <= costs[state]! ? best[at + 1]! : state;
    }
  }

  cost(need: number): number {
    return this.costs[this.best[need]!]!;
  }

  members(need: number): readonly number[] {
    const members: number[] = [];
    let state = this.best[need]!;
    for (let d = this.weighed - 1; d >= 0; d--) {
      const before = this.from[d * 3 * this.width + state]!;
      if (before < 0) continue;
      members.push(this.devices[d]!);
      state = before;
    }
    return members;
  }
}
