import type { Pacer } from './pacer.js';

/**
 * Paces passes that come again and again. What one takes the device is the least that passes of its kind ever took, paused or
 * not: that caches are cold after a rest, that another process had the core, is the host's, and must not be stretched with
 * the device's.
 */
export class PassPacer {
  private readonly least = new Map<string, number>();
  private prepareMs = 0;

  constructor(
    private readonly pacer: Pick<Pacer, 'run' | 'pace'>,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** Passes of this kind have run before, unpaced: nothing remains to be prepared. */
  met(kind: string): void {
    if (!this.least.has(kind)) this.least.set(kind, Infinity);
  }

  /** `unpausedMs`: what such a pass took without pauses. An engine prepares for a kind when it meets it first: no pass to go by. `tookMs`: without its rest. */
  async run<Result>(kind: string, unpausedMs: number, work: () => Promise<Result>): Promise<{ readonly result: Result; readonly tookMs: number }> {
    const least = this.least.get(kind);
    const startedAtMs = this.nowMs();
    this.met(kind);
    let tookMs = 0;
    const timed = async (): Promise<Result> => {
      const startMs = this.nowMs();
      const result = await work();
      tookMs = this.nowMs() - startMs;
      return result;
    };
    const result = await this.pacer.run(timed, Math.min(unpausedMs, least ?? Infinity));
    if (least !== undefined) this.least.set(kind, Math.min(least, tookMs));
    else this.prepareMs += Math.max(0, this.nowMs() - startedAtMs - unpausedMs / this.pacer.pace);
    return { result, tookMs };
  }

  /** What the engine prepared for kinds that it met first, since it was asked last: their time beyond that of such a pass. */
  takePrepareMs(): number {
    const { prepareMs } = this;
    this.prepareMs = 0;
    return prepareMs;
  }
}
