import { INNER } from './layers.js';

/** A knapsack of devices with layers: what they cost at least that have so many between them, and the last block. */
export class LayerKnapsack {
  private readonly width: number;
  /** What may be taken, device by device: where each one's ends, its most layers, and what is taken at which cost. */
  private readonly devices: Int32Array;
  private readonly ends: Int32Array;
  private readonly rooms: Int32Array;
  private readonly places: Int8Array;
  private readonly takes: Int16Array;
  private readonly costs: Float64Array;
  private weighed = 0;
  private offered = 0;
  /** Least costs: [devices weighed][without the last block, with it][layers]. */
  private readonly reached: Float64Array;

  constructor(
    count: number,
    private readonly layers: number,
  ) {
    this.width = layers + 1;
    const most = 2 * count * this.width;
    this.devices = new Int32Array(count);
    this.ends = new Int32Array(count);
    this.rooms = new Int32Array(count);
    this.places = new Int8Array(most);
    this.takes = new Int16Array(most);
    this.costs = new Float64Array(most);
    this.reached = new Float64Array(most + 2 * this.width);
  }

  begin(): void {
    this.weighed = 0;
    this.offered = 0;
  }

  /** To the device that is weighed next. */
  offer(place: number, layers: number, cost: number): void {
    const at = this.offered++;
    this.places[at] = place;
    this.takes[at] = layers;
    this.costs[at] = cost;
  }

  /** Weighs the device to which something was offered, if so: `room` is the most layers of that. */
  weigh(device: number, room: number): void {
    const { weighed, offered } = this;
    if (offered === (weighed === 0 ? 0 : this.ends[weighed - 1]!)) return;
    this.devices[weighed] = device;
    this.ends[weighed] = offered;
    this.rooms[weighed] = room;
    this.weighed++;
  }

  /** For all layers, or any number of them. */
  solve(needs: 'all' | 'any'): void {
    const { reached, places, takes, costs, ends, rooms, weighed, layers, width } = this;
    reached.fill(Infinity, 0, 2 * width);
    reached[0] = 0;
    // Layers that the others can still make up for, and the most so far without the last block and with it.
    let lowest = 0;
    if (needs === 'all') {
      lowest = layers;
      for (let d = 0; d < weighed; d++) lowest -= rooms[d]!;
    }
    let begin = 0;
    let most = 0;
    let mostWithLast = -1;
    for (let d = 0; d < weighed; d++) {
      const row = 2 * d * width;
      const next = row + 2 * width;
      for (let at = row; at < next; at++) reached[at + 2 * width] = reached[at]!;
      const end = ends[d]!;
      const from = Math.max(0, lowest);
      let further = most;
      let furtherWithLast = mostWithLast;
      for (let i = begin; i < end; i++) {
        const take = takes[i]!;
        const cost = costs[i]!;
        const inner = places[i] === INNER;
        const to = Math.min(most, layers - take);
        const target = next + (inner ? 0 : width) + take;
        for (let at = from; at <= to; at++) {
          const sum = reached[row + at]! + cost;
          if (sum < reached[target + at]!) reached[target + at] = sum;
        }
        if (!inner) {
          furtherWithLast = Math.max(furtherWithLast, to + take);
          continue;
        }
        further = Math.max(further, to + take);
        const toWithLast = Math.min(mostWithLast, layers - take);
        for (let at = from; at <= toWithLast; at++) {
          const sum = reached[row + width + at]! + cost;
          if (sum < reached[target + width + at]!) reached[target + width + at] = sum;
        }
        furtherWithLast = Math.max(furtherWithLast, toWithLast + take);
      }
      lowest += rooms[d]!;
      begin = end;
      most = further;
      mostWithLast = furtherWithLast;
    }
  }

  /** What so many layers cost, and the last block; Infinity: nobody has them. */
  cost(layers: number): number {
    return this.reached[2 * this.weighed * this.width + this.width + layers]!;
  }

  /** Who takes them, where and how many layers each. */
  forEachTaken(layers: number, visit: (device: number, place: number, layers: number) => void): void {
    const { reached, places, takes, costs, ends, width } = this;
    const size = 2 * width;
    let state = width + layers;
    for (let d = this.weighed - 1; d >= 0; d--) {
      const cost = reached[(d + 1) * size + state]!;
      if (cost === reached[d * size + state]!) continue;
      for (let i = d === 0 ? 0 : ends[d - 1]!; i < ends[d]!; i++) {
        if (takes[i]! > state % width) continue;
        const before = state - takes[i]! - places[i]! * width;
        if (before < 0 || reached[d * size + before]! + costs[i]! !== cost) continue;
        visit(this.devices[d]!, places[i]!, takes[i]!);
        state = before;
        break;
      }
    }
  }
}
