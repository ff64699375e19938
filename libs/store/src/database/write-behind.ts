import { setTimeout as delay } from 'node:timers/promises';
import { LongtailError } from '@longtail/core';
import type { Connection, Statement } from './connection.js';

const RETRY_MS = 1000;

/**
 * Rows on their way to a database that nobody waits for: of each key the newest, again and again until the database takes
 * them. So a database that is away costs its reader old rows, and a run nothing.
 */
export class WriteBehind {
  private readonly waiting = new Map<string, Statement>();
  private readonly closing = new AbortController();
  private draining: Promise<void> | undefined;
  private attempt: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly connection: Connection,
    /** Hears of the first failure in a row of them, and of its end. */
    private readonly onTrouble: (error: LongtailError | undefined) => void,
  ) {}

  put(key: string, statement: Statement): void {
    this.waiting.set(key, statement);
    this.draining ??= this.drain();
  }

  /** Resolves when all that was put before was tried once. */
  async tried(): Promise<void> {
    const before = this.attempt;
    await before;
    if (this.attempt !== before) await this.attempt;
  }

  /** Resolves after a last attempt; what the database does not take now is lost. */
  async close(): Promise<void> {
    this.closing.abort();
    await this.draining;
  }

  private async drain(): Promise<void> {
    for (let troubled = false; this.waiting.size > 0; ) {
      const attempt = this.tryAll();
      this.attempt = attempt;
      const error = await attempt;
      if (troubled !== (error !== undefined)) this.onTrouble(error);
      troubled = error !== undefined;
      if (!troubled) continue;
      if (this.closing.signal.aborted) break;
      await delay(RETRY_MS, undefined, { signal: this.closing.signal, ref: false }).catch(() => undefined);
    }
    this.draining = undefined;
  }

  /** Each by itself: one that the database does not take keeps no other from it. Gives the first failure. */
  private async tryAll(): Promise<LongtailError | undefined> {
    let failure: LongtailError | undefined;
    for (const [key, statement] of [...this.waiting]) {
      try {
        await this.connection.write([statement], true);
        if (this.waiting.get(key) === statement) this.waiting.delete(key);
      } catch (error) {
        failure ??= LongtailError.from(error, 'storage');
      }
    }
    return failure;
  }
}
