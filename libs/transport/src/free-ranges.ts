interface Range {
  start: number;
  end: number;
}

/** What is free of a line of numbers; first fit. */
export class FreeRanges {
  /** In order, with gaps between them. */
  private readonly ranges: Range[];

  constructor(start: number, end: number) {
    this.ranges = [{ start, end }];
  }

  /** Start of `length` numbers that were free; undefined when no gap is long enough. */
  take(length: number): number | undefined {
    const index = this.ranges.findIndex(({ start, end }) => end - start >= length);
    if (index < 0) return undefined;
    const range = this.ranges[index]!;
    const { start } = range;
    range.start += length;
    if (range.start === range.end) this.ranges.splice(index, 1);
    return start;
  }

  /** Frees [start, start + length), which was taken. */
  give(start: number, length: number): void {
    const end = start + length;
    const found = this.ranges.findIndex((range) => range.start >= end);
    const index = found < 0 ? this.ranges.length : found;
    const [before, after] = [this.ranges[index - 1], this.ranges[index]];
    if (before?.end === start && after?.start === end) {
      before.end = after.end;
      this.ranges.splice(index, 1);
    } else if (before?.end === start) before.end = end;
    else if (after?.start === end) after.start = start;
    else this.ranges.splice(index, 0, { start, end });
  }
}
