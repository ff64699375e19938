import { Heap, type ShareRule, type WorkerTime } from '@longtail/core';

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

function filled(batch: number, workers: readonly WorkerTime[], quantum: number): ReadonlyMap<string, number> {
  const standing = new Standing(workers, new Map(), quantum);
  for (let left = batch; left > 0 && workers.length > 0; left -= quantum) {
    const piece = Math.min(quantum, left);
    standing.add(standing.firstDone(piece), piece);
  }
  return standing.shares;
}

function balanced(previous: ReadonlyMap<string, number>, workers: readonly WorkerTime[], quantum: number): ReadonlyMap<string, number> {
  const standing = new Standing(workers, previous, quantum);
  for (;;) {
    const last = standing.lastDone;
    const piece = Math.min(quantum, last.share);
    const first = standing.firstDone(piece);
    if (!(timeOf(first.worker, first.share + piece) < timeOf(last.worker, last.share))) return standing.shares;
    standing.add(last, -piece);
    standing.add(first, piece);
  }
}

interface Place {
  readonly worker: WorkerTime;
  readonly index: number;
  /** In `byNext` and `byTime`. */
  readonly places: number[];
  share: number;
}

/** Who has how much, and who is done first and last with it; of several the one named first. */
class Standing {
  private readonly places: readonly Place[];
  private readonly byNext: Heap<Place>;
  private readonly byTime: Heap<Place>;

  constructor(
    workers: readonly WorkerTime[],
    shares: ReadonlyMap<string, number>,
    private readonly quantum: number,
  ) {
    this.places = workers.map((worker, index) => ({ worker, index, places: [-1, -1], share: shares.get(worker.node) ?? 0 }));
    this.byNext = heapBy(0, (place) => timeOf(place.worker, place.share + quantum));
    this.byTime = heapBy(1, (place) => -timeOf(place.worker, place.share));
    for (const place of this.places) this.enter(place);
  }

  get shares(): ReadonlyMap<string, number> {
    return new Map(this.places.map(({ worker, share }) => [worker.node, share]));
  }

  get lastDone(): Place {
    return this.byTime.first!;
  }

  /** With so many more. */
  firstDone(piece: number): Place {
    if (piece === this.quantum) return this.byNext.first!;
    const times = this.places.map(({ worker, share }) => timeOf(worker, share + piece));
    return this.places[times.indexOf(Math.min(...times))]!;
  }

  add(place: Place, samples: number): void {
    this.byNext.remove(place);
    this.byTime.remove(place);
    place.share += samples;
    this.enter(place);
  }

  private enter(place: Place): void {
    this.byNext.add(place);
    this.byTime.add(place);
  }
}

function heapBy(number: number, value: (place: Place) => number): Heap<Place> {
  return new Heap((a, b) => value(a) < value(b) || (value(a) === value(b) && a.index < b.index), number);
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
