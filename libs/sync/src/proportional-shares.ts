import type { ShareRule, WorkerSpeed } from '@longtail/core';

export interface ProportionalSharesOptions {
  /** Keep the previous shares while new ones would not shorten the round by more than this fraction. @default 0.1 */
  readonly tolerance?: number;
  /** Shares are multiples of a power of two, chosen so that the batch has at least this many of them. @default 64 */
  readonly resolution?: number;
}

/**
 * Shares in proportion to speed: each next quantum of the batch goes to the worker that would be done with it first,
 * which is the schedule of least makespan for equal pieces on uniform machines (Graham 1969). Ties go to the worker named
 * first. Few distinct share sizes keep an engine's traced graphs few; the tolerance keeps noise in the measured speeds
 * from moving shares every round.
 */
export function proportionalShares(options: ProportionalSharesOptions = {}): ShareRule {
  const { tolerance = 0.1, resolution = 64 } = options;
  return (batch, workers, previous) => {
    const usable = usableSpeeds(workers);
    const fresh = leastMakespan(batch, usable, quantumOf(batch, resolution, workers.length));
    const keeps = fits(batch, usable, previous) && makespan(usable, previous) <= (1 + tolerance) * makespan(usable, fresh);
    return keeps ? previous : fresh;
  };
}

/** Without a single measured speed all count alike; else those without one get nothing. */
function usableSpeeds(workers: readonly WorkerSpeed[]): readonly WorkerSpeed[] {
  const valid = ({ samplesPerSecond }: WorkerSpeed) => Number.isFinite(samplesPerSecond) && samplesPerSecond > 0;
  const known = workers.some(valid);
  return workers.map((worker) => ({ node: worker.node, samplesPerSecond: known ? (valid(worker) ? worker.samplesPerSecond : 0) : 1 }));
}

/** Largest power of two that leaves `resolution` pieces, and eight for each worker. */
function quantumOf(batch: number, resolution: number, workers: number): number {
  const pieces = Math.max(resolution, 8 * workers);
  return 2 ** Math.max(0, Math.floor(Math.log2(batch / pieces)));
}

function leastMakespan(batch: number, workers: readonly WorkerSpeed[], quantum: number): Map<string, number> {
  const shares = new Map(workers.map(({ node }) => [node, 0]));
  for (let left = batch; left > 0 && workers.length > 0; left -= quantum) {
    const piece = Math.min(quantum, left);
    const first = firstDone(workers, shares, piece);
    shares.set(first, shares.get(first)! + piece);
  }
  return shares;
}

function firstDone(workers: readonly WorkerSpeed[], shares: ReadonlyMap<string, number>, piece: number): string {
  let best = workers[0]!.node;
  let bestAt = Infinity;
  for (const { node, samplesPerSecond } of workers) {
    const doneAt = (shares.get(node)! + piece) / samplesPerSecond;
    if (doneAt < bestAt) [best, bestAt] = [node, doneAt];
  }
  return best;
}

function fits(batch: number, workers: readonly WorkerSpeed[], shares: ReadonlyMap<string, number>): boolean {
  if (shares.size !== workers.length || !workers.every(({ node }) => shares.has(node))) return false;
  return [...shares.values()].reduce((sum, share) => sum + share, 0) === batch;
}

function makespan(workers: readonly WorkerSpeed[], shares: ReadonlyMap<string, number>): number {
  return Math.max(0, ...workers.map(({ node, samplesPerSecond }) => (shares.get(node)! === 0 ? 0 : shares.get(node)! / samplesPerSecond)));
}
