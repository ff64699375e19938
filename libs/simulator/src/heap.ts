/** Keeps its place in the heap; −1: it is not in it. */
export interface Placed {
  place: number;
}

/** A binary heap of distinct items, any of which can be taken out. */
export class Heap<Item extends Placed> {
  private readonly items: Item[] = [];

  constructor(private readonly before: (a: Item, b: Item) => boolean) {}

  get first(): Item | undefined {
    return this.items[0];
  }

  add(item: Item): void {
    this.items.push(item);
    this.rise(item, this.items.length - 1);
  }

  /** Nothing happens where it is not in it. */
  remove(item: Item): void {
    const { place } = item;
    if (place < 0) return;
    item.place = -1;
    const last = this.items.pop()!;
    if (last === item) return;
    const parent = place > 0 ? this.items[(place - 1) >> 1]! : undefined;
    if (parent !== undefined && this.before(last, parent)) this.rise(last, place);
    else this.sink(last, place);
  }

  private rise(item: Item, from: number): void {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = this.items[parent]!;
      if (!this.before(item, above)) break;
      this.put(above, place);
      place = parent;
    }
    this.put(item, place);
  }

  private sink(item: Item, from: number): void {
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.items.length) break;
      if (child + 1 < this.items.length && this.before(this.items[child + 1]!, this.items[child]!)) child++;
      const below = this.items[child]!;
      if (!this.before(below, item)) break;
      this.put(below, place);
      place = child;
    }
    this.put(item, place);
  }

  private put(item: Item, place: number): void {
    this.items[place] = item;
    item.place = place;
  }
}
