import type { ShareRule, WorkerTime } from '@longtail/core';

export interface BalancedSharesOptions {
  /** Keep the previous shares while others would not shorten the round by more than this fraction. @default 0.07 */
  readonly tolerance?: number;
  /** Shares are multiples of a power of two, chosen so that the batch has at least this many of them. @default 64 */
  readonly resolution?: number;
}

/**
 * Shares with which the slowest worker is done as soon as can be: each quantum of the batch goes to the worker that would be
 * done with it first, which is the schedule of least makespan for equal pieces on machines whose time grows with them (Graham
 * 1969). Where there are previous shares, quanta move from who is done last to who would be done first, until nobody is done
 * sooner: the same makespan, by the fewest new sizes, as each costs an engine that traces graphs another one. The tolerance
 * keeps noise in what was measured from moving shares every round.
 */
export function balancedShares(options: BalancedSharesOptions = {}): ShareRule {
  const { tolerance = 0.07, resolution = 64 } = options;
  return (batch, workers, previous) => {
    const usable = usableTimes(workers);
    const quantum = quantumOf(batch, resolution, workers.length);
    if (!fits(batch, usable, previous)) return filled(batch, usable, quantum);
    const moved = balanced(previous, usable, quantum);
    return makespan(usable, previous) <= (1 + tolerance) * makespan(usable, moved) ? previous : moved;
  };
}

/** Without a single measured time all count alike; else those without one get nothing. */
function usableTimes(workers: readonly WorkerTime[]): readonly WorkerTime[] {
  const valid = ({ fixedMs, msPerSample }: WorkerTime) => Number.isFinite(fixedMs) && Number.isFinite(msPerSample) && msPerSample > 0;
  const known = workers.some(valid);
  return workers.map((worker) => (known && valid(worker) ? worker : { node: worker.node, fixedMs: 0, msPerSample: known ? Infinity : 1 }));
}

/** Largest power of two that leaves `resolution` pieces, and eight for each worker. */
function quantumOf(batch: number, resolution: number, workers: number): number {
  const pieces = Math.max(resolution, 8 * workers);
  return 2 ** Math.max(0, Math.floor(Math.log2(batch / pieces)));
}

function filled(batch: number, workers: readonly WorkerTime[], quantum: number): Map<string, number> {
  const shares = new Map(workers.map(({ node }) => [node, 0]));
  for (let left = batch; left > 0 && workers.length > 0; left -= quantum) {
    const piece = Math.min(quantum, left);
    const { node } = firstDone(workers, shares, piece);
    shares.set(node, shares.get(node)! + piece);
  }
  return shares;
}

function balanced(previous: ReadonlyMap<string, number>, workers: readonly WorkerTime[], quantum: number): Map<string, number> {
  const shares = new Map(previous);
  for (;;) {
    const last = lastDone(workers, shares);
    const piece = Math.min(quantum, shares.get(last.node)!);
    const first = firstDone(workers, shares, piece);
    if (!(timeOf(first, shares.get(first.node)! + piece) < timeOf(last, shares.get(last.node)!))) return shares;
    shares.set(last.node, shares.get(last.node)! - piece);
    shares.set(first.node, shares.get(first.node)! + piece);
  }
}

/** Of those that would be done with so many more, the one named first. */
function firstDone(workers: readonly WorkerTime[], shares: ReadonlyMap<string, number>, piece: number): WorkerTime {
  return leastBy(workers, (worker) => timeOf(worker, shares.get(worker.node)! + piece));
}

function lastDone(workers: readonly WorkerTime[], shares: ReadonlyMap<string, number>): WorkerTime {
  return leastBy(workers, (worker) => -timeOf(worker, shares.get(worker.node)!));
}

function leastBy(workers: readonly WorkerTime[], value: (worker: WorkerTime) => number): WorkerTime {
  let best = workers[0]!;
  let least = Infinity;
  for (const worker of workers) {
    const own = value(worker);
    if (own < least) [best, least] = [worker, own];
  }
  return best;
}

function fits(batch: number, workers: readonly WorkerTime[], shares: ReadonlyMap<string, number>): boolean {
  if (shares.size !== workers.length || !workers.every(({ node }) => shares.has(node))) return false;
  return workers.length > 0 && [...shares.values()].reduce((sum, share) => sum + share, 0) === batch;
}

function makespan(workers: readonly WorkerTime[], shares: ReadonlyMap<string, number>): number {
  return Math.max(0, ...workers.map((worker) => timeOf(worker, shares.get(worker.node)!)));
}

/** Who has no share takes no part. */
function timeOf({ fixedMs, msPerSample }: WorkerTime, samples: number): number {
  return samples === 0 ? 0 : fixedMs + samples * msPerSample;
}
