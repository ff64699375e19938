/**
 * What is open under numbers that were given out one after the other, in their order. Takes as much room as lies between the oldest and the latest. A `Map`
 * makes a table anew for each so many entries, to which the old one points: once one is in V8's old generation, all that came behind it ends up there, too.
 */
export class Numbered<Item> {
  private items: (Item | undefined)[] = new Array<Item | undefined>(16).fill(undefined);
  private oldest = 0;
  private next = 0;
  private count = 0;

  /** Items that are open. */
  get size(): number {
    return this.count;
  }

  get(number: number): Item | undefined {
    return number >= this.oldest && number < this.next ? this.items[this.placeOf(number)] : undefined;
  }

  /** `number`: above all before, or open. */
  set(number: number, item: Item): void {
    if (this.oldest === this.next) this.oldest = number;
    while (number - this.oldest >= this.items.length) this.enlarge();
    if (this.get(number) === undefined) this.count++;
    this.items[this.placeOf(number)] = item;
    this.next = Math.max(this.next, number + 1);
  }

  delete(number: number): void {
    if (this.get(number) === undefined) return;
    this.items[this.placeOf(number)] = undefined;
    this.count--;
    while (this.oldest < this.next && this.items[this.placeOf(this.oldest)] === undefined) this.oldest++;
  }

  values(): Item[] {
    const open: Item[] = [];
    for (let number = this.oldest; number < this.next; number++) {
      const item = this.items[this.placeOf(number)];
      if (item !== undefined) open.push(item);
    }
    return open;
  }

  private placeOf(number: number): number {
    return number & (this.items.length - 1);
  }

  private enlarge(): void {
    const before = this.items;
    this.items = new Array<Item | undefined>(2 * before.length).fill(undefined);
    for (let number = this.oldest; number < this.next; number++) this.items[this.placeOf(number)] = before[number & (before.length - 1)];
  }
}
