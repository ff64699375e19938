import { LongtailError, Numbered, type Lease, type LeaseBook, type LeaseBookState, type LeaseTotals, type SampleRange } from '@longtail/core';

export interface LeaseBookOptions {
  /** Samples of the training split; at least 1. */
  readonly samplesPerEpoch: number;
  /** Passes over them; fractions allowed. */
  readonly epochs: number;
  /** The run ends here when this comes before `epochs` are over. */
  readonly maxSamples?: number;
  /** Go on from a snapshot of a book with the same `samplesPerEpoch` and `epochs`. LongtailError `invalid-file` when it is of another or does not add up. */
  readonly state?: LeaseBookState;
}

/** Positions [start, end) counted over all epochs: `epoch × samplesPerEpoch + position`. */
interface Span {
  readonly start: number;
  readonly end: number;
}

const NONE: readonly Span[] = [];

interface OpenLease extends Lease {
  partly: boolean;
}

/**
 * A lease book whose samples are handed out in epoch order. A lease takes what came back first, then fresh samples, so
 * it may hold several ranges; it reaches into the next epoch only when what is free of this one is fewer than asked,
 * which keeps each batch of a run the same size.
 */
export function createLeaseBook(options: LeaseBookOptions): LeaseBook {
  const { samplesPerEpoch, epochs, maxSamples = Infinity } = options;
  if (!Number.isSafeInteger(samplesPerEpoch) || samplesPerEpoch < 1) throw new RangeError(`samplesPerEpoch: ${samplesPerEpoch}`);
  if (!(epochs > 0) || !(maxSamples > 0)) throw new RangeError(`epochs: ${epochs}, maxSamples: ${maxSamples}`);
  const total = Math.max(1, Math.floor(Math.min(Math.round(epochs * samplesPerEpoch), maxSamples)));
  const book = new Book(samplesPerEpoch, epochs, total);
  if (options.state) book.restore(options.state);
  return book;
}

class Book implements LeaseBook {
  private readonly open = new Numbered<OpenLease>();
  /** Sorted and disjoint, with gaps between them. */
  private returned: Span[] = [];
  private returnedSamples = 0;
  private leasedSamples = 0;
  private cursor = 0;
  private applied = 0;
  private lost = 0;
  private lastId = 0;

  constructor(
    private readonly samplesPerEpoch: number,
    private readonly epochs: number,
    private readonly total: number,
  ) {}

  lease(holder: string, samples: number): Lease | undefined {
    if (!Number.isSafeInteger(samples) || samples < 1) throw new RangeError(`a lease of ${samples} samples`);
    const ranges = this.take(samples);
    if (ranges.length === 0) return undefined;
    const lease = { id: ++this.lastId, holder, ranges, samples: countSamples(ranges), partly: false };
    this.open.set(lease.id, lease);
    this.leasedSamples += lease.samples;
    return lease;
  }

  apply(leaseId: number): void {
    this.applied += this.close(leaseId).samples;
  }

  applyPartly(leaseId: number): void {
    this.find(leaseId).partly = true;
  }

  giveBack(leaseId: number): void {
    if (this.find(leaseId).partly) throw new Error(`lease ${leaseId} is applied in part`);
    const { ranges, samples } = this.close(leaseId);
    this.returned = mergeSpans([...this.returned, ...this.toSpans(ranges)]);
    this.returnedSamples += samples;
  }

  lose(leaseId: number): void {
    this.lost += this.close(leaseId).samples;
  }

  totals(): LeaseTotals {
    const free = this.returnedSamples + this.total - this.cursor;
    return { total: this.total, applied: this.applied, lost: this.lost, leased: this.leasedSamples, free };
  }

  snapshot(): LeaseBookState {
    const open = this.open.values();
    const free = open.filter(({ partly }) => !partly).flatMap(({ ranges }) => this.toSpans(ranges));
    const halfway = open.reduce((sum, { partly, samples }) => sum + (partly ? samples : 0), 0);
    return {
      samplesPerEpoch: this.samplesPerEpoch,
      epochs: this.epochs,
      applied: this.applied,
      lost: this.lost + halfway,
      cursor: { epoch: Math.floor(this.cursor / this.samplesPerEpoch), position: this.cursor % this.samplesPerEpoch },
      returned: this.toRanges(mergeSpans([...this.returned, ...free])),
    };
  }

  restore(state: LeaseBookState): void {
    const spans = this.toSpans(state.returned);
    const cursor = state.cursor.epoch * this.samplesPerEpoch + state.cursor.position;
    const problem = this.findProblem(state, spans, cursor);
    if (problem !== undefined) {
      throw new LongtailError(`The saved data cursor ${problem}.`, {
        code: 'invalid-file',
        hint: 'Resume with the job and the data the run was started with, or start a new run.',
      });
    }
    this.cursor = cursor;
    this.applied = state.applied;
    this.lost = state.lost;
    this.returned = mergeSpans(spans);
    this.returnedSamples = countSamples(spans);
  }

  private findProblem(state: LeaseBookState, spans: readonly Span[], cursor: number): string | undefined {
    if (state.samplesPerEpoch !== this.samplesPerEpoch) {
      return `is of a data set of ${state.samplesPerEpoch} samples, this one has ${this.samplesPerEpoch}`;
    }
    if (state.epochs !== this.epochs) return `is of a run of ${state.epochs} epochs, this one has ${this.epochs}`;
    if (cursor > this.total) return `lies at sample ${cursor}, behind the end of the run at ${this.total}`;
    const ordered = [...spans].sort((a, b) => a.start - b.start);
    const disjoint = ordered.every(
      (span, i) => span.start < span.end && span.end <= cursor && (i === 0 || ordered[i - 1].end <= span.start),
    );
    if (!disjoint) return 'has ranges that overlap or were never leased';
    if (state.applied + state.lost + countSamples(spans) !== cursor) return 'does not add up to the samples it has handed out';
    return undefined;
  }

  /** What came back first, then fresh samples. */
  private take(samples: number): readonly SampleRange[] {
    const returned = this.returned.length === 0 ? NONE : this.takeReturned(samples);
    const start = this.cursor;
    const end = Math.min(start + samples - countSamples(returned), this.total);
    if (end <= start) return this.toRanges(returned);
    this.cursor = end;
    return returned.length === 0 ? this.cut(start, end) : this.toRanges([...returned, { start, end }]);
  }

  private takeReturned(samples: number): Span[] {
    const taken: Span[] = [];
    let missing = samples;
    let used = 0;
    while (missing > 0 && used < this.returned.length) {
      const { start, end } = this.returned[used];
      const cut = Math.min(end, start + missing);
      taken.push({ start, end: cut });
      missing -= cut - start;
      if (cut < end) this.returned[used] = { start: cut, end };
      else used++;
    }
    this.returned.splice(0, used);
    this.returnedSamples -= countSamples(taken);
    return taken;
  }

  private find(leaseId: number): OpenLease {
    const lease = this.open.get(leaseId);
    if (!lease) throw new Error(`lease ${leaseId} is not open`);
    return lease;
  }

  private close(leaseId: number): OpenLease {
    const lease = this.find(leaseId);
    this.open.delete(leaseId);
    this.leasedSamples -= lease.samples;
    return lease;
  }

  private toSpans(ranges: readonly SampleRange[]): Span[] {
    return ranges.map(({ epoch, start, end }) => ({ start: epoch * this.samplesPerEpoch + start, end: epoch * this.samplesPerEpoch + end }));
  }

  private toRanges(spans: readonly Span[]): SampleRange[] {
    return mergeSpans(spans).flatMap(({ start, end }) => this.cut(start, end));
  }

  /** Cuts a span where an epoch ends. */
  private cut(start: number, end: number): SampleRange[] {
    const first = this.rangeFrom(start, end);
    // Most lie in one epoch; what is pushed to has room for more, and is kept for as long as a task is out.
    const ranges = [first];
    for (let at = start + first.end - first.start; at < end;) {
      const range = this.rangeFrom(at, end);
      ranges.push(range);
      at += range.end - range.start;
    }
    return ranges;
  }

  /** Up to the end of its epoch. */
  private rangeFrom(start: number, end: number): SampleRange {
    const epoch = Math.floor(start / this.samplesPerEpoch);
    const epochStart = epoch * this.samplesPerEpoch;
    return { epoch, start: start - epochStart, end: Math.min(end - epochStart, this.samplesPerEpoch) };
  }
}

function countSamples(spans: readonly Span[]): number {
  return spans.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Sorted, with neighbours joined. */
function mergeSpans(spans: readonly Span[]): Span[] {
  const merged: Span[] = [];
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last?.end === span.start) merged[merged.length - 1] = { start: last.start, end: span.end };
    else merged.push(span);
  }
  return merged;
}
