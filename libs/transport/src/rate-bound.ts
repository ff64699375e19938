/** How often something may happen in a window of time. */
export class RateBound {
  private startedAtMs = -Infinity;
  private count = 0;

  constructor(
    private readonly most: number,
    private readonly windowMs: number,
  ) {}

  /** It happened once more; false beyond the bound. */
  take(nowMs: number): boolean {
    if (nowMs - this.startedAtMs >= this.windowMs) {
      this.startedAtMs = nowMs;
      this.count = 0;
    }
    return ++this.count <= this.most;
  }
}

const MOST_REPORTS = 100;
const WINDOW_MS = 60_000;

/** Passes on so many reports a minute: strangers could fill a disk with them. */
export function sparing(report: (reason: string) => void, nowMs: () => number): (reason: string) => void {
  const bound = new RateBound(MOST_REPORTS, WINDOW_MS);
  let kept = 0;
  return (reason) => {
    if (!bound.take(nowMs())) {
      kept++;
      return;
    }
    report(kept === 0 ? reason : `${reason} (and ${kept} more before, not told one by one)`);
    kept = 0;
  };
}
