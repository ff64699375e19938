import type { AccessEntries, AccessTable, IdentityEntry, TokenEntry } from '@longtail/core';

/** Keeps entries in memory; fails when it is told to. */
export class MemoryTable implements AccessTable {
  fails = false;
  private readonly tokens = new Map<string, TokenEntry>();
  private readonly identities = new Map<string, IdentityEntry>();

  async load(): Promise<AccessEntries> {
    return { tokens: [...this.tokens.values()], identities: [...this.identities.values()] };
  }

  async save({ tokens = [], identities = [] }: Partial<AccessEntries>): Promise<void> {
    this.check();
    for (const token of tokens) this.tokens.set(token.id, token);
    for (const identity of identities) this.identities.set(identity.id, identity);
  }

  async replace(entries: AccessEntries): Promise<void> {
    this.check();
    for (const kept of [this.tokens, this.identities]) kept.clear();
    await this.save(entries);
  }

  async forget(expiredBeforeMs: number): Promise<void> {
    this.check();
    for (const entries of [this.tokens, this.identities]) for (const [id, { expiresAtMs }] of entries) if (expiresAtMs < expiredBeforeMs) entries.delete(id);
  }

  private check(): void {
    if (this.fails) throw new Error('no room');
  }
}
