import { NodeBook, type NodeAccount } from './node-account.js';

export interface FleetAccount {
  /** In the order of the scenario's fleet. */
  readonly nodes: readonly NodeAccount[];
  /** Of utilisation; the first one begins at 0. */
  readonly windowMs: number;
  /** Between which there are spans: a few rounds from the middle of the run, of a short run the first ones. */
  readonly spansFromMs: number;
  readonly spansToMs: number;
}

/** Contributions of each node. */
const ROUNDS_OF_SPANS = 4;

/** Spans, and how many contributions there were before them. */
interface Taken {
  readonly since: number;
  readonly spansFromMs: number;
  readonly spansToMs: number;
}

/** Takes down what the nodes of a fleet are at. */
export class FleetBook {
  private readonly books: ReadonlyMap<string, NodeBook>;
  private contributions = 0;
  /** Spans are taken of the first rounds, and of those from the 4th, 8th, 16th … on: at the end the latest two that are whole are there. */
  private beginAt: number;
  private endAt: number;
  private takingSinceMs: number | undefined;
  private taken: readonly Taken[] = [];

  constructor(
    names: readonly string[],
    private readonly nowMs: () => number,
  ) {
    const cells = NodeBook.cellsOf(names.length);
    this.books = new Map(names.map((name, i) => [name, new NodeBook(name, i, cells, nowMs)]));
    this.beginAt = this.endAt = ROUNDS_OF_SPANS * names.length;
    this.beginSpans();
  }

  node(name: string): NodeBook {
    return this.books.get(name)!;
  }

  contribution(name: string, samples: number): void {
    this.node(name).samples += samples;
    this.contributions++;
    if (this.contributions === this.endAt) this.endSpans();
    if (this.contributions !== this.beginAt) return;
    this.endAt = this.beginAt + ROUNDS_OF_SPANS * this.books.size;
    this.beginAt *= 2;
    this.beginSpans();
  }

  /** Up and down, by all nodes. */
  get bytesMoved(): number {
    let sum = 0;
    for (const book of this.books.values()) sum += book.bytes;
    return sum;
  }

  account(): FleetAccount {
    if (this.taken.length === 0) this.endSpans();
    const books = [...this.books.values()];
    for (const book of books) book.settle();
    const windowMs = Math.max(...books.map((book) => book.windowMs));
    // What is taken in the last third may be how the run ends.
    const shown = this.taken.findIndex(({ since }, i) => i === this.taken.length - 1 || since <= (2 / 3) * this.contributions);
    const { spansFromMs, spansToMs } = this.taken[shown]!;
    return { nodes: books.map((book) => book.account(windowMs, shown)), windowMs, spansFromMs, spansToMs };
  }

  private beginSpans(): void {
    this.takingSinceMs = this.nowMs();
    for (const book of this.books.values()) book.beginSpans();
  }

  private endSpans(): void {
    const since = this.contributions - ROUNDS_OF_SPANS * this.books.size;
    this.taken = [{ since, spansFromMs: this.takingSinceMs!, spansToMs: this.nowMs() }, ...this.taken.slice(0, 1)];
    this.takingSinceMs = undefined;
    for (const book of this.books.values()) book.endSpans();
  }
}
