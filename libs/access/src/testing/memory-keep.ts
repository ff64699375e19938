import type { Keep } from '../kept.js';

/** Keeps a text in memory. */
export class MemoryKeep implements Keep {
  readonly path = 'memory';

  constructor(public text?: string) {}

  async read(): Promise<string | undefined> {
    return this.text;
  }

  async write(text: string): Promise<void> {
    this.text = text;
  }
}
