import type { Loan } from '@longtail/core';

/** More than one is held where a worker goes on before the server is done with what it sent. */
const MOST_KEPT = 3;

/** Where a device leaves its results: what is held is not written to. */
export class LentVectors {
  private readonly kept: LentVector[];
  private last: LentVector;

  constructor(private readonly create: () => Float32Array) {
    this.last = new LentVector(create());
    this.kept = [this.last];
  }

  /** The last result. */
  get current(): LentVector {
    return this.last;
  }

  /** Memory for the next one. */
  next(): Float32Array {
    if (this.last.isHeld) this.last = this.kept.find(({ isHeld }) => !isHeld) ?? this.another();
    return this.last.values;
  }

  /** What a server that died holds is never given back. */
  private another(): LentVector {
    if (this.kept.length === MOST_KEPT) this.kept.shift();
    const vector = new LentVector(this.create());
    this.kept.push(vector);
    return vector;
  }
}

class LentVector implements Loan {
  private holders = 0;

  constructor(readonly values: Float32Array) {}

  get isHeld(): boolean {
    return this.holders > 0;
  }

  hold(): void {
    this.holders++;
  }

  release(): void {
    this.holders--;
  }
}
