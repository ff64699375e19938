import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { LongtailError, type AccessEntries, type AccessTable, type IdentityEntry, type PeerIdentity, type Role, type TokenEntry } from '@longtail/core';

const MOST_TOKENS = 10_000;
/** How long a token that is over can still be told from one that never was. */
const REMEMBERED_MS = 30 * 24 * 3_600_000;

const NEW_TOKEN = 'On the server: longtail token create, then come with the new token.';

/** The tokens that a server gave, and who came with them. What lets in is kept before it holds, what shuts out holds before it is kept. */
export class AccessBook {
  private readonly tokens: Map<string, TokenEntry>;
  private readonly identities: Map<string, IdentityEntry>;
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly table: AccessTable,
    { tokens, identities }: AccessEntries,
  ) {
    this.tokens = new Map(tokens.map((token) => [token.id, token]));
    this.identities = new Map(identities.map((identity) => [identity.id, identity]));
  }

  /** LongtailError `storage`, `unreachable`; here and below. */
  static async open(table: AccessTable): Promise<AccessBook> {
    return new AccessBook(table, await table.load());
  }

  list(): AccessEntries {
    return { tokens: [...this.tokens.values()], identities: [...this.identities.values()] };
  }

  /** The secret is told this once. */
  createToken(role: Role, uses: number, nowMs: number, expiresAtMs: number): Promise<{ readonly id: string; readonly secret: string }> {
    return this.inTurn(async () => {
      await this.forget(nowMs);
      if (this.tokens.size >= MOST_TOKENS) throw new LongtailError(`there are ${MOST_TOKENS} tokens`, { code: 'refused', hint: 'Revoke some: longtail token list.' });
      const id = randomBytes(4).toString('hex');
      const secret = randomBytes(16).toString('hex');
      await this.save({ tokens: [{ id, secret: digest(secret).toString('hex'), role, createdAtMs: nowMs, expiresAtMs, usesLeft: uses, revoked: false }] });
      return { id, secret };
    });
  }

  /** Takes one use of a token for a new identity, whose certificate is good until `expiresAtMs`. LongtailError `refused`. */
  redeem(id: string, secret: string, name: string, nowMs: number, expiresAtMs: number): Promise<PeerIdentity> {
    return this.inTurn(async () => {
      const token = this.tokens.get(id);
      // One answer for both: whoever guesses learns nothing.
      if (token === undefined || !timingSafeEqual(digest(secret), Buffer.from(token.secret, 'hex'))) throw refused('the server knows no such token');
      if (token.revoked) throw refused(`the token ${id} was revoked`);
      if (token.expiresAtMs <= nowMs) throw refused(`the token ${id} expired at ${new Date(token.expiresAtMs).toISOString()}`);
      if (token.usesLeft < 1) throw refused(`the token ${id} is used up`);
      const identity = newIdentity(token.role, name, id, nowMs, expiresAtMs);
      await this.save({ tokens: [{ ...token, usesLeft: token.usesLeft - 1 }], identities: [identity] });
      return { id: identity.id, role: identity.role };
    });
  }

  /** A new identity that came with no token. */
  enrol(role: Role, name: string, nowMs: number, expiresAtMs: number): Promise<PeerIdentity> {
    return this.inTurn(async () => {
      await this.forget(nowMs);
      const identity = newIdentity(role, name, '', nowMs, expiresAtMs);
      await this.save({ identities: [identity] });
      return { id: identity.id, role };
    });
  }

  /** Its certificate was renewed. */
  renewed(id: string, expiresAtMs: number): Promise<void> {
    return this.inTurn(() => this.save({ identities: [{ ...this.identities.get(id)!, expiresAtMs }] }));
  }

  /** LongtailError `refused` unless the identity was enrolled here and not revoked. */
  admit({ id, role }: PeerIdentity): void {
    const entry = this.identities.get(id);
    if (entry === undefined || entry.role !== role) throw refused(`the server has not enrolled ${id}`);
    if (entry.revoked) throw refused(`the identity ${id} was revoked`);
  }

  /** What the token has let in stays, unless revoked with `enrolled`. Gives whom it was taken from. LongtailError `usage`. */
  revokeToken(id: string, enrolled: boolean): Promise<readonly string[]> {
    return this.inTurn(() => {
      const token = this.tokens.get(id);
      if (token === undefined) throw new LongtailError(`there is no token ${id}`, { code: 'usage', hint: 'longtail token list names them.' });
      return this.revoke([token], enrolled ? [...this.identities.values()].filter((identity) => identity.token === id) : []);
    });
  }

  /** By id, or by name where one alone has it. Gives its id. LongtailError `usage`. */
  revokeIdentity(idOrName: string): Promise<readonly string[]> {
    return this.inTurn(() => {
      const byId = this.identities.get(idOrName);
      const found = byId ? [byId] : [...this.identities.values()].filter(({ name, revoked }) => name === idOrName && !revoked);
      if (found.length === 1) return this.revoke([], found);
      const problem = found.length === 0 ? 'nobody enrolled is called' : `${found.length} are called`;
      const ids = found.map(({ id }) => id).join(', ');
      throw new LongtailError(`${problem} ${idOrName}`, { code: 'usage', hint: ids ? `Say which: ${ids}.` : 'longtail token list names them.' });
    });
  }

  private async revoke(tokens: readonly TokenEntry[], identities: readonly IdentityEntry[]): Promise<readonly string[]> {
    const changed: AccessEntries = {
      tokens: tokens.map((token) => ({ ...token, revoked: true })),
      identities: identities.map((identity) => ({ ...identity, revoked: true })),
    };
    this.hold(changed);
    await this.table.save(changed);
    return identities.map(({ id }) => id);
  }

  private async save(changed: Partial<AccessEntries>): Promise<void> {
    await this.table.save(changed);
    this.hold(changed);
  }

  private hold({ tokens = [], identities = [] }: Partial<AccessEntries>): void {
    for (const token of tokens) this.tokens.set(token.id, token);
    for (const identity of identities) this.identities.set(identity.id, identity);
  }

  /** What is over for long and means nothing any more. */
  private async forget(nowMs: number): Promise<void> {
    const before = nowMs - REMEMBERED_MS;
    const over = [this.tokens, this.identities].map((entries) => [...entries.values()].filter(({ expiresAtMs }) => expiresAtMs < before));
    if (over.every(({ length }) => length === 0)) return;
    await this.table.forget(before);
    for (const { id } of over[0]!) this.tokens.delete(id);
    for (const { id } of over[1]!) this.identities.delete(id);
  }

  /** One change after the other, each on what the one before it left. */
  private inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.turn.then(change);
    this.turn = result.catch(() => undefined);
    return result;
  }
}

function newIdentity(role: Role, name: string, token: string, nowMs: number, expiresAtMs: number): IdentityEntry {
  return { id: `${role}-${randomBytes(6).toString('hex')}`, role, name, token, enrolledAtMs: nowMs, expiresAtMs, revoked: false };
}

function digest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

function refused(why: string): LongtailError {
  return new LongtailError(why, { code: 'refused', hint: NEW_TOKEN });
}
