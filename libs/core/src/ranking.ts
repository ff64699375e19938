/**
 * A binary heap of numbers from 0 on by their keys, the lowest first, of equal ones the lower number, from which any can be taken out. All that
 * is compared lies side by side.
 */
export class Ranking {
  private length = 0;
  private keys = new Float64Array(16);
  private numbers = new Int32Array(16);
  /** By number; −1: it is not in it. */
  private places = new Int32Array(16).fill(-1);

  get size(): number {
    return this.length;
  }

  /** Of the lowest key; undefined: there is none. */
  get first(): number | undefined {
    return this.length === 0 ? undefined : this.numbers[0];
  }

  get firstKey(): number {
    return this.length === 0 ? Infinity : this.keys[0]!;
  }

  add(number: number, key: number): void {
    if (this.length === this.keys.length) {
      this.keys = enlarged(this.keys, new Float64Array(2 * this.length));
      this.numbers = enlarged(this.numbers, new Int32Array(2 * this.length));
    }
    while (number >= this.places.length) this.places = enlarged(this.places, new Int32Array(2 * this.places.length).fill(-1));
    this.rise(number, key, this.length++);
  }

  /** Nothing happens where it is not in it. */
  remove(number: number): void {
    const place = this.places[number] ?? -1;
    if (place < 0) return;
    this.places[number] = -1;
    const end = --this.length;
    const last = this.numbers[end]!;
    if (last !== number) this.settle(last, this.keys[end]!, place);
  }

  /** Of one that is in it. */
  change(number: number, key: number): void {
    this.settle(number, key, this.places[number]!);
  }

  private settle(number: number, key: number, place: number): void {
    if (place > 0 && this.isBefore(number, key, (place - 1) >> 1)) this.rise(number, key, place);
    else this.sink(number, key, place);
  }

  private rise(number: number, key: number, from: number): void {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!this.isBefore(number, key, parent)) break;
      this.put(this.numbers[parent]!, this.keys[parent]!, place);
      place = parent;
    }
    this.put(number, key, place);
  }

  private sink(number: number, key: number, from: number): void {
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.length) break;
      if (child + 1 < this.length && this.isBefore(this.numbers[child + 1]!, this.keys[child + 1]!, child)) child++;
      if (this.isBefore(number, key, child)) break;
      this.put(this.numbers[child]!, this.keys[child]!, place);
      place = child;
    }
    this.put(number, key, place);
  }

  /** … the one at a place. */
  private isBefore(number: number, key: number, place: number): boolean {
    const other = this.keys[place]!;
    return key < other || (key === other && number < this.numbers[place]!);
  }

  private put(number: number, key: number, place: number): void {
    this.keys[place] = key;
    this.numbers[place] = number;
    this.places[number] = place;
  }
}

function enlarged<Values extends Float64Array | Int32Array>(values: Values, larger: Values): Values {
  larger.set(values);
  return larger;
}
