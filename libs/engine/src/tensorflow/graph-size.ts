/** Graphs of one kind that a stage keeps loaded. */
export const GRAPHS_KEPT = 12;

/**
 * Samples of the graph that takes a batch of `samples`. A graph is traced for one size and costs a fraction of a second,
 * while shares of a batch vary from round to round. So sizes come in eight steps an octave, and a smaller batch is
 * padded: at most an eighth of the work for nothing, at most eight graphs for any two sizes within a factor of two. It
 * depends on nothing but the batch, so that the same batch always takes the same way to the same bits.
 */
export function graphSize(samples: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(samples)) - 3);
  return Math.ceil(samples / step) * step;
}

/** Samples of the parts that a batch above the limit is cut into: as few parts as can be, of equal size, since equal ones share a graph. */
export function partSize(samples: number, limit: number): number {
  return Math.ceil(samples / Math.ceil(samples / limit));
}
