/** Keeps what was used last, up to a number; frees the rest. */
export class LeastRecentlyUsed<Value> {
  private readonly entries = new Map<string, Value>();

  constructor(
    private readonly limit: number,
    private readonly free: (value: Value) => void,
  ) {}

  has(key: string): boolean {
    return this.entries.has(key);
  }

  get(key: string, make: () => Value): Value {
    const value = this.entries.get(key) ?? make();
    // Maps iterate in the order of insertion.
    this.entries.delete(key);
    this.entries.set(key, value);
    for (const [oldest, old] of this.entries) {
      if (this.entries.size <= this.limit) break;
      this.entries.delete(oldest);
      this.free(old);
    }
    return value;
  }

  clear(): void {
    for (const value of this.entries.values()) this.free(value);
    this.entries.clear();
  }
}
