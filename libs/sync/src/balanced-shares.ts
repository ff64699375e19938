import { Ranking, type ShareRule, type WorkerTime } from '@longtail/core';
import { fastestSet } from './fastest-set.js';

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
 * keeps noise in what was measured from moving shares every round. Where each that takes part makes the round longer for all,
 * they are split over those with whom it is shortest.
 */
export function balancedShares(options: BalancedSharesOptions = {}): ShareRule {
  const { tolerance = 0.07, resolution = 64 } = options;
  return (batch, workers, previous, sharedMs = 0) => {
    const standing = new Standing(workers, quantumOf(batch, resolution, workers.length), sharedMs);
    const stood = standing.takeUp(batch, previous);
    const before = stood ? standing.roundMs : Infinity;
    if (sharedMs > 0 && !standing.narrow(batch, before / (1 + tolerance)) && stood) return previous;
    standing.give(batch);
    if (stood) standing.balance();
    return before <= (1 + tolerance) * standing.roundMs ? previous : standing.shares;
  };
}

/** Largest power of two that leaves `resolution` pieces, and eight for each worker. */
function quantumOf(batch: number, resolution: number, workers: number): number {
  const pieces = Math.max(resolution, 8 * workers);
  return 2 ** Math.max(0, Math.floor(Math.log2(batch / pieces)));
}

/** Who has how much, and who is done first and last with it; of several the one named first. */
class Standing {
  private readonly fixedMs: Float64Array;
  private readonly msPerSample: Float64Array;
  private readonly share: Float64Array;
  /** By when each would be done with a quantum more. */
  private readonly byNext = new Ranking();
  /** By when each is done, the last one first. */
  private readonly byTime = new Ranking();

  constructor(
    private readonly workers: readonly WorkerTime[],
    private readonly quantum: number,
    /** For each that has a share the round is longer by that. */
    private readonly sharedMs: number,
  ) {
    const { length } = workers;
    this.fixedMs = new Float64Array(length);
    this.msPerSample = new Float64Array(length);
    this.share = new Float64Array(length);
    this.takeTimes();
  }

  /** Without a single measured time all count alike; else those without one get nothing. */
  private takeTimes(): void {
    const { workers, fixedMs, msPerSample } = this;
    const isKnown = workers.some(isMeasured);
    for (let i = 0; i < workers.length; i++) {
      const worker = workers[i]!;
      const counts = isKnown && isMeasured(worker);
      fixedMs[i] = counts ? worker.fixedMs : 0;
      msPerSample[i] = counts ? worker.msPerSample : isKnown ? Infinity : 1;
    }
  }

  get shares(): ReadonlyMap<string, number> {
    return new Map(this.workers.map(({ node }, i) => [node, this.share[i]!]));
  }

  /** Until the last one is done. */
  get roundMs(): number {
    let lastMs = 0;
    let taking = 0;
    for (let i = 0; i < this.share.length; i++) {
      lastMs = Math.max(lastMs, this.timeOf(i, this.share[i]!));
      if (this.share[i]! > 0) taking++;
    }
    return lastMs + taking * this.sharedMs;
  }

  /** Begins with shares of earlier; false: they are of others, or of another batch. */
  takeUp(batch: number, shares: ReadonlyMap<string, number>): boolean {
    const { workers } = this;
    if (workers.length === 0 || shares.size !== workers.length) return false;
    let sum = 0;
    for (const { node } of workers) sum += shares.get(node) ?? NaN;
    if (sum !== batch) return false;
    for (let i = 0; i < workers.length; i++) this.share[i] = shares.get(workers[i]!.node)!;
    return true;
  }

  /** Leaves out all but those with whom a round is done soonest; false: none is shorter than `withinMs`, and nobody is. */
  narrow(batch: number, withinMs: number): boolean {
    const { fixedMs, msPerSample, share, quantum, sharedMs } = this;
    const chosen = fastestSet({ fixedMs, msPerPiece: msPerSample.map((ms) => quantum * ms), pieces: Math.ceil(batch / quantum), sharedMs, withinMs });
    if (chosen === undefined) return false;
    const stays = new Set(chosen);
    for (let i = 0; i < share.length; i++) {
      if (stays.has(i)) continue;
      fixedMs[i] = Infinity;
      share[i] = 0;
    }
    return true;
  }

  /** What of the batch nobody has. */
  give(batch: number): void {
    this.order();
    let left = batch;
    for (const samples of this.share) left -= samples;
    for (; left > 0 && this.workers.length > 0; left -= this.quantum) {
      const piece = Math.min(this.quantum, left);
      this.add(this.firstDone(piece), piece);
    }
  }

  /** Until nobody is done sooner by that. */
  balance(): void {
    for (;;) {
      const last = this.byTime.first!;
      const piece = Math.min(this.quantum, this.share[last]!);
      const first = this.firstDone(piece);
      if (!(this.timeOf(first, this.share[first]! + piece) < this.timeOf(last, this.share[last]!))) return;
      this.add(last, -piece);
      this.add(first, piece);
    }
  }

  private order(): void {
    const { byNext, byTime, share, quantum } = this;
    for (let i = 0; i < share.length; i++) {
      byNext.add(i, this.timeOf(i, share[i]! + quantum));
      byTime.add(i, -this.timeOf(i, share[i]!));
    }
  }

  /** With so many more. */
  private firstDone(piece: number): number {
    const { share, quantum, byNext } = this;
    if (piece === quantum) return byNext.first!;
    let first = 0;
    for (let i = 1; i < share.length; i++) if (this.timeOf(i, share[i]! + piece) < this.timeOf(first, share[first]! + piece)) first = i;
    return first;
  }

  private add(worker: number, samples: number): void {
    const { share, quantum } = this;
    share[worker] += samples;
    this.byNext.change(worker, this.timeOf(worker, share[worker]! + quantum));
    this.byTime.change(worker, -this.timeOf(worker, share[worker]!));
  }

  /** Who has no share takes no part. */
  private timeOf(worker: number, samples: number): number {
    return samples === 0 ? 0 : this.fixedMs[worker]! + samples * this.msPerSample[worker]!;
  }
}

function isMeasured({ fixedMs, msPerSample }: WorkerTime): boolean {
  return Number.isFinite(fixedMs) && Number.isFinite(msPerSample) && msPerSample > 0;
}
