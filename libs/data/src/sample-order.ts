import type { SampleRange } from '@longtail/core';
import { epochOrder, type EpochOrder } from './epoch-order.js';

/** Which samples of the training split the positions of leases are. */
export class SampleOrder {
  private readonly orders = new Map<number, EpochOrder>();

  constructor(
    private readonly samples: number,
    private readonly seed: number,
  ) {}

  indicesOf(ranges: readonly SampleRange[]): Int32Array {
    const indices = new Int32Array(ranges.reduce((sum, { start, end }) => sum + end - start, 0));
    let at = 0;
    for (const range of ranges) {
      indices.set(this.orderOf(range.epoch).indices(range), at);
      at += range.end - range.start;
    }
    return indices;
  }

  private orderOf(epoch: number): EpochOrder {
    let order = this.orders.get(epoch);
    if (order === undefined) {
      order = epochOrder(this.samples, this.seed, epoch);
      this.orders.set(epoch, order);
    }
    return order;
  }
}
