/** A group of some of the items, and what it is worth. */
export interface Column {
  readonly members: readonly number[];
  readonly worth: number;
}

/** A gain that is smaller is rounding. */
const GAIN = 1e-6;

const LEAST_PIVOT = 1e-9;

/** Prices are good enough long before: no cycle of exchanges that gain nothing. */
const MOST_PIVOTS = 1000;

/**
 * The linear program of packing items into groups: groups, each taken in part, worth most together, no item in more than one
 * group's worth. By the revised simplex method, which goes on where it was when columns are added.
 */
export class Packing {
  /** By item: no group is worth more than its members' prices, which add up to what the packing is worth. */
  readonly prices: Float64Array;
  private readonly columns: Column[] = [];
  /** Of the basis: its inverse, what is taken of each column, and which that is; less than none: an item by itself. */
  private readonly inverse: Float64Array;
  private readonly taken: Float64Array;
  private readonly basis: Int32Array;
  private readonly change: Float64Array;

  /** `alone`: what each item is worth by itself. */
  constructor(private readonly alone: Float64Array) {
    const count = alone.length;
    this.prices = alone.slice();
    this.inverse = Float64Array.from({ length: count ** 2 }, (_, at) => (at % (count + 1) === 0 ? 1 : 0));
    this.taken = new Float64Array(count).fill(1);
    this.basis = new Int32Array(count).fill(-1);
    this.change = new Float64Array(count);
  }

  add(column: Column): void {
    this.columns.push(column);
  }

  /** Columns worth their members' prices, to within so much. */
  near(worth: number): readonly Column[] {
    return this.columns.filter((column) => column.worth >= this.priceOf(column.members) - worth);
  }

  /** Columns that the packing takes, the most of each first. */
  chosen(): readonly Column[] {
    return [...this.basis.entries()]
      .filter(([row, column]) => column >= 0 && this.taken[row]! > GAIN)
      .sort(([a], [b]) => this.taken[b]! - this.taken[a]! || a - b)
      .map(([, column]) => this.columns[column]!);
  }

  solve(): void {
    for (let pivot = 0; pivot < MOST_PIVOTS; pivot++) {
      let most = GAIN;
      let best = -1;
      for (let i = 0; i < this.columns.length; i++) {
        const { members, worth } = this.columns[i]!;
        const gain = worth - this.priceOf(members);
        if (gain > most) [most, best] = [gain, i];
      }
      let item = -1;
      for (let i = 0; i < this.alone.length; i++) {
        const gain = this.alone[i]! - this.prices[i]!;
        if (gain > most) [most, item] = [gain, i];
      }
      if (item >= 0) this.enter([item], most, -1);
      else if (best >= 0) this.enter(this.columns[best]!.members, most, best);
      else return;
    }
  }

  private priceOf(members: readonly number[]): number {
    let sum = 0;
    for (let i = 0; i < members.length; i++) sum += this.prices[members[i]!]!;
    return sum;
  }

  private enter(members: readonly number[], gain: number, column: number): void {
    const { inverse, taken, change, prices } = this;
    const count = taken.length;
    let leaving = -1;
    let least = Infinity;
    for (let row = 0; row < count; row++) {
      let sum = 0;
      for (let i = 0; i < members.length; i++) sum += inverse[row * count + members[i]!]!;
      change[row] = sum;
      if (sum > LEAST_PIVOT && taken[row]! < least * sum) [least, leaving] = [taken[row]! / sum, row];
    }
    const pivot = change[leaving]!;
    const at = leaving * count;
    for (let i = 0; i < count; i++) inverse[at + i]! /= pivot;
    for (let row = 0; row < count; row++) {
      const factor = change[row]!;
      if (row === leaving || factor === 0) continue;
      for (let i = 0; i < count; i++) inverse[row * count + i]! -= factor * inverse[at + i]!;
      taken[row]! -= factor * least;
    }
    taken[leaving] = least;
    this.basis[leaving] = column;
    for (let i = 0; i < count; i++) prices[i]! += gain * inverse[at + i]!;
  }
}
