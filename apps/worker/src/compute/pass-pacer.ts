import type { Pacer } from './pacer.js';

/** A change that lasts is followed after half of them. */
const RECENT = 15;

/**
 * Paces passes that come again and again. What one takes the device is what passes of its kind took lately: a hiccup of the
 * host, another process on its core, is not the device's, and must not be stretched with it.
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

  /** An engine prepares for a kind when it meets it first, which is the host's work: of that time at most `firstMs` counts as the device's. */
  async run<Result>(kind: string, firstMs: number, work: () => Promise<Result>): Promise<Result> {
    const recent = this.recent.get(kind);
    this.met(kind);
    let tookMs = 0;
    const timed = async (): Promise<Result> => {
      const startMs = this.nowMs();
      const result = await work();
      tookMs = this.nowMs() - startMs;
      return result;
    };
    const result = await this.pacer.run(timed, recent === undefined ? firstMs : typical(recent));
    if (recent?.push(tookMs) === RECENT + 1) recent.shift();
    return result;
  }
}

function typical(recent: readonly number[]): number {
  return [...recent].sort((a, b) => a - b)[recent.length >> 1] ?? Infinity;
}
