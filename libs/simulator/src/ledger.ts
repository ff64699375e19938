import { standingEvents, type Lease, type LeaseBook, type StoredEvent } from '@longtail/core';

export interface CommittedLeases {
  /** Several steps of one lease each, or one step of all. */
  readonly local: boolean;
  readonly leases: readonly Lease[];
}

/** Notes which leases a run applies, and between which of its events. */
export class Ledger {
  private applied: { readonly lease: Lease; readonly afterEvents: number }[] = [];
  /** Leases whose samples will never reach a commit as a whole. */
  readonly lost: Lease[] = [];

  /** A lease book that is noted. */
  record(book: LeaseBook, events: readonly StoredEvent[]): LeaseBook {
    const open = new Map<number, Lease>();
    return {
      lease(holder, samples) {
        const lease = book.lease(holder, samples);
        if (lease !== undefined) open.set(lease.id, lease);
        return lease;
      },
      apply: (id) => {
        book.apply(id);
        this.applied.push({ lease: open.get(id)!, afterEvents: events.length });
        open.delete(id);
      },
      applyPartly: (id) => book.applyPartly(id),
      giveBack(id) {
        book.giveBack(id);
        open.delete(id);
      },
      lose: (id) => {
        book.lose(id);
        this.lost.push(open.get(id)!);
        open.delete(id);
      },
      totals: () => book.totals(),
      snapshot: () => book.snapshot(),
    };
  }

  /** Another server goes on with so many of the events: what came later is after them. */
  succeeded(events: number): void {
    this.applied = this.applied.map(({ lease, afterEvents }) => ({ lease, afterEvents: Math.min(afterEvents, events) }));
  }

  /** Of the commits that stand. Leases applied between two commits belong to the later one; what a server that was killed did not commit, to none. */
  commits(events: readonly StoredEvent[]): readonly CommittedLeases[] {
    const applied = [...this.applied].sort((a, b) => a.afterEvents - b.afterEvents);
    let next = 0;
    const commits = new Map<number, CommittedLeases>();
    for (const { seq, body } of events) {
      if (body.event !== 'commit' && body.event !== 'resumed') continue;
      const leases: Lease[] = [];
      for (; next < applied.length && applied[next]!.afterEvents < seq; next++) leases.push(applied[next]!.lease);
      if (body.event === 'commit') commits.set(seq, { local: body.reason.includes('local steps'), leases });
    }
    return standingEvents(events).flatMap(({ seq }) => commits.get(seq) ?? []);
  }
}
