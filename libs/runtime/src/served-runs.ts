import { LongtailError, type StoredEvent, type Verdict } from '@longtail/core';
import type { Run } from './run.js';

/** Runs that have ended are kept for `jobs` and `watch` up to this many. */
const FINISHED_RUNS_KEPT = 100;

interface Served {
  readonly run: Run;
  /** Resolves when its store is finished. */
  readonly verdict: Promise<Verdict>;
}

/** The runs of a server: those that go on, and the last that have ended. LongtailError `usage` for one that is not among them. */
export class ServedRuns {
  private readonly served = new Map<string, Served>();

  get all(): readonly Run[] {
    return [...this.served.values()].map(({ run }) => run);
  }

  get active(): readonly Run[] {
    return this.all.filter((run) => !run.over);
  }

  /** Also of runs whose verdict is out: their stores may still be finishing. */
  get verdicts(): readonly Promise<Verdict>[] {
    return [...this.served.values()].map(({ verdict }) => verdict);
  }

  get(run: string): Run | undefined {
    return this.served.get(run)?.run;
  }

  /** From now on it is here. `ended`: its verdict is there. */
  start(run: Run, ended: () => void): void {
    const verdict = run.execute().then((outcome) => {
      this.forgetOld();
      ended();
      return outcome;
    });
    this.served.set(run.run, { run, verdict });
  }

  verdict(run: string): Promise<Verdict> {
    return this.find(run).verdict;
  }

  async *watch(run: string, fromSeq: number, signal: AbortSignal): AsyncGenerator<StoredEvent> {
    const { store, following } = this.find(run).run;
    for await (const event of store.log.read(fromSeq, signal)) {
      await following.visible(event.seq, signal);
      yield event;
    }
  }

  async cancel(run: string, reason: string): Promise<string> {
    const found = this.find(run).run;
    if (found.over) return found.status;
    found.stop(new LongtailError(`cancelled: ${reason}`, { code: 'cancelled' }));
    return 'cancelling';
  }

  private find(run: string): Served {
    const found = this.served.get(run);
    if (found !== undefined) return found;
    throw new LongtailError(`no run ${run}`, { code: 'usage', hint: 'List the runs with `longtail jobs`.' });
  }

  private forgetOld(): void {
    const over = this.all.filter((run) => run.over);
    for (const { run } of over.slice(0, Math.max(0, over.length - FINISHED_RUNS_KEPT))) this.served.delete(run);
  }
}
