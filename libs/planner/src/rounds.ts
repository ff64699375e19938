/** What a group costs: an inner step of n samples takes `fillMs + max(1, n / microbatch) · periodMs`, a round `tailMs` more. */
export interface GroupCost {
  readonly microbatch: number;
  /** Between two microbatches in the steady state: that of the busiest stage or hop. */
  readonly periodMs: number;
  /** Of an inner step: of the first microbatch through all stages and back, beyond one period, and sums of what several workers hold. */
  readonly fillMs: number;
  /** Once a round: the exchange with the server. */
  readonly tailMs: number;
  /** Fewer samples than a microbatch shorten the step of a group of one stage, but not that of a pipeline. */
  readonly minSamples: number;
  /** Copies of the model that cross the server's link: one, and where the server steps, what further replicas of stages send. Counted only where that link is limited. */
  readonly uploads: number;
}

/** How groups meet in a round. */
export interface Scenario {
  /** One group that exchanges nothing: it steps for itself (ADR 3). */
  readonly alone: boolean;
  /** Uploads of all groups together, those of each rounded up. */
  readonly maxUploads: number;
  /** What the server's own link takes for so many. */
  readonly sharedMs: number;
}

/** Samples an inner step that a group manages when its round may take `roundMs`. */
export function samplesWithin(cost: GroupCost, roundMs: number, steps: number, sharedMs: number): number {
  const left = (roundMs - Math.max(cost.tailMs, sharedMs)) / steps - cost.fillMs;
  const samples = (left / cost.periodMs) * cost.microbatch;
  // A hair below one microbatch is rounding, not a smaller microbatch.
  return samples >= cost.minSamples * (1 - 1e-9) ? Math.max(0, samples) : 0;
}

/** Time of a round in which the group does `samples` an inner step. */
export function roundMsOf(cost: GroupCost, samples: number, steps: number, sharedMs: number): number {
  const step = cost.fillMs + (Math.max(samples, cost.minSamples) / cost.microbatch) * cost.periodMs;
  return Math.max(cost.tailMs, sharedMs) + steps * step;
}

/** The least time of a round in which the groups do `batch` samples an inner step between them; a group may do none. */
export function leastRoundMs(costs: readonly GroupCost[], batch: number, steps: number, sharedMs: number): number {
  // Between the rounds at which a group begins to be of use, what all do together grows along a line.
  const starts = costs.map((cost) => ({ cost, atMs: roundMsOf(cost, 0, steps, sharedMs) })).sort((a, b) => a.atMs - b.atMs);
  let rate = 0;
  let base = 0;
  for (const [i, { cost, atMs }] of starts.entries()) {
    rate += cost.microbatch / (cost.periodMs * steps);
    base += cost.minSamples - (atMs * cost.microbatch) / (cost.periodMs * steps);
    if (base + rate * atMs >= batch) return atMs;
    const reached = (batch - base) / rate;
    if (reached <= (starts[i + 1]?.atMs ?? Infinity)) return reached;
  }
  return Infinity;
}

/**
 * Whole samples for each group, `batch` in all, that finish the round soonest: each group gets what it manages in the least
 * round, rounded down, and what is left goes one by one to whoever would be done first.
 */
export function wholeShares(costs: readonly GroupCost[], batch: number, steps: number, sharedMs: number): readonly number[] {
  const roundMs = leastRoundMs(costs, batch, steps, sharedMs);
  const shares = costs.map((cost) => Math.floor(samplesWithin(cost, roundMs, steps, sharedMs) + 1e-9));
  let left = batch - shares.reduce((sum, share) => sum + share, 0);
  const change = Math.sign(left);
  const finishMs = (i: number) =>
    shares[i]! + change < 0 ? Infinity : change * roundMsOf(costs[i]!, shares[i]! + Math.max(0, change), steps, sharedMs);
  const finish = Float64Array.from(costs, (_, i) => finishMs(i));
  for (; left !== 0; left -= change) {
    let best = 0;
    for (let i = 1; i < finish.length; i++) if (finish[i]! < finish[best]!) best = i;
    shares[best]! += change;
    finish[best] = finishMs(best);
  }
  return shares;
}
