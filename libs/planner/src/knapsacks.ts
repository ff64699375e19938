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

/** By place and layers, the least costs of those that may take so many: as many as a pipeline can have. */
export class LeastCosts {
  private readonly costs: Float64Array;
  private readonly most: number;

  constructor(private readonly width: number) {
    this.most = width + 1;
    this.costs = new Float64Array(2 * width * this.most);
  }

  begin(): void {
    this.costs.fill(Infinity);
  }

  /** Whether more than so many cost no more. */
  isOutdone(place: number, layers: number, cost: number, beside: number): boolean {
    return this.costs[(place * this.width + layers) * this.most + beside]! <= cost;
  }

  add(place: number, layers: number, cost: number): void {
    const { costs, most } = this;
    const first = (place * this.width + layers) * most;
    let at = first + most - 1;
    if (costs[at]! <= cost) return;
    for (; at > first && costs[at - 1]! > cost; at--) costs[at] = costs[at - 1]!;
    costs[at] = cost;
  }
}

/** A knapsack: least costs by mates, whether the last block is done, and layers; and who takes them. */
export class Reached {
  private costs: Float64Array;
  /** … with the device that is taken up next. */
  private next: Float64Array;
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

  /** By whether the last block is done, and layers. */
  costsOf(mates: number): Float64Array {
    return this.costs.subarray(mates * 2 * this.width, (mates + 1) * 2 * this.width);
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
    const { costs } = this;
    this.costs = this.next;
    this.next = costs;
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

/** Of a sum of a cover: it is of one; it was never made less. */
const ALONE = -1;
const NEVER = -2;
const NOWHERE = new Int32Array(0);

/** The cheapest two or more whose shares come to so much. */
export class Cover {
  /** By whether it is one or several, and need. */
  private readonly costs: Float64Array;
  /** Of those inserted. */
  private readonly devices: Int32Array;
  private readonly each: Float64Array;
  private readonly shares: Int32Array;
  private readonly width: number;
  private weighed = 0;
  private limit = NaN;
  /** By need, the sum that costs least. */
  private readonly best: Int32Array;
  private furthestOfOne = 0;
  private furthest = 0;

  constructor(count: number, most: number) {
    this.width = most + 1;
    this.costs = new Float64Array(2 * this.width);
    this.devices = new Int32Array(count);
    this.each = new Float64Array(count);
    this.shares = new Int32Array(count);
    this.best = new Int32Array(this.width);
  }

  /** Of what costs less than `limit`. */
  begin(limit: number): void {
    this.limit = limit;
    this.weighed = 0;
    this.clear();
  }

  insert(device: number, cost: number, share: number): void {
    this.devices[this.weighed] = device;
    this.each[this.weighed] = cost;
    this.shares[this.weighed++] = share;
    this.spread(cost, share, NOWHERE, 0);
  }

  settle(): void {
    const { costs, width, best } = this;
    for (let at = width - 1; at >= 0; at--) best[at] = at + 1 < width && costs[width + best[at + 1]!]! <= costs[width + at]! ? best[at + 1]! : at;
  }

  cost(need: number): number {
    return this.costs[this.width + this.best[need]!]!;
  }

  /** Weighed again for that: few covers are part of what is sought. */
  members(need: number): readonly number[] {
    const { weighed, width, devices, each, shares } = this;
    const from = new Int32Array(2 * width * weighed).fill(NEVER);
    this.clear();
    for (let d = 0; d < weighed; d++) this.spread(each[d]!, shares[d]!, from, 2 * width * d);
    const members: number[] = [];
    let state = width + this.best[need]!;
    for (let d = weighed - 1; d >= 0 && state !== ALONE; d--) {
      const before = from[2 * width * d + state]!;
      if (before === NEVER) continue;
      members.push(devices[d]!);
      state = before;
    }
    return members;
  }

  private clear(): void {
    this.costs.fill(Infinity);
    this.furthestOfOne = this.furthest = -1;
  }

  /** One more; into `from`, from `row` on, where each sum that it is part of comes from. */
  private spread(cost: number, share: number, from: Int32Array, row: number): void {
    const { costs, width, limit } = this;
    const last = width - 1;
    for (let several = 1; several >= 0; several--) {
      for (let at = several === 1 ? this.furthest : this.furthestOfOne; at >= 0; at--) {
        const sum = costs[several * width + at]! + cost;
        if (sum >= limit) continue;
        const target = width + (at + share < last ? at + share : last);
        if (sum >= costs[target]!) continue;
        costs[target] = sum;
        if (from !== NOWHERE) from[row + target] = several * width + at;
      }
    }
    const alone = share < last ? share : last;
    if (this.furthestOfOne >= 0) this.furthest = Math.min(last, Math.max(this.furthest, this.furthestOfOne) + share);
    if (cost < limit && cost < costs[alone]!) {
      costs[alone] = cost;
      if (from !== NOWHERE) from[row + alone] = ALONE;
    }
    if (alone > this.furthestOfOne) this.furthestOfOne = alone;
  }
}
