import type { Pacer } from './pacer.js';

/** A change that lasts is followed after so many. */
const RECENT = 15;

/**
 * Paces passes that come again and again. What one takes the device is the least that passes of its kind took lately, or
 * without a pause between them: that caches are cold after a rest, that another process had the core, is the
 * host's, and must not be stretched with the device's.
 */
export class PassPacer {
  private readonly recent = new Map<string, number[]>();

  constructor(
    private readonly pacer: Pick<Pacer, 'run'>,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** Passes of this kind have run before, unpaced: nothing remains to be prepared. */
  met(kind: string): void {
    if (!this.recent.has(kind)) this.recent.set(kind, []);
  }

  /** `unpausedMs`: what such a pass took without pauses. An engine prepares for a kind when it meets it first: no pass to go by. */
  async run<Result>(kind: string, unpausedMs: number, work: () => Promise<Result>): Promise<Result> {
    const recent = this.recent.get(kind);
    this.met(kind);
    let tookMs = 0;
    const timed = async (): Promise<Result> => {
      const startMs = this.nowMs();
      const result = await work();
      tookMs = this.nowMs() - startMs;
      return result;
    };
    const result = await this.pacer.run(timed, Math.min(unpausedMs, ...(recent ?? [])));
    if (recent?.push(tookMs) === RECENT + 1) recent.shift();
    return result;
  }
}
