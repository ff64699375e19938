import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { LongtailError, type AccessEntries, type AccessTable, type IdentityEntry, type PeerIdentity, type Role, type TokenEntry } from '@longtail/core';
import { refused, Roll } from './roll.js';

const MOST_TOKENS = 10_000;
/** How long a token that is over can still be told from one that never was. */
const REMEMBERED_MS = 30 * 24 * 3_600_000;

/**
 * The tokens that a server gave, and who came with them. What lets in is kept before it holds, what shuts out holds before it is kept;
 * a follower knows either before whoever asked for it does.
 */
export class AccessBook {
  private turn: Promise<unknown> = Promise.resolve();
  private tell: (changed: Partial<AccessEntries>) => Promise<void> = () => Promise.resolve();

  private constructor(
    private readonly table: AccessTable,
    private readonly roll: Roll,
  ) {}

  /** LongtailError `storage`, `unreachable`; here and below. */
  static async open(table: AccessTable): Promise<AccessBook> {
    return new AccessBook(table, new Roll(await table.load()));
  }

  list(): AccessEntries {
    return this.roll.list();
  }

  /** From now on `tell` is waited for with each change; it must not reject. */
  follow(tell: (changed: Partial<AccessEntries>) => Promise<void>): void {
    this.tell = tell;
  }

  /** The secret is told this once. */
  createToken(role: Role, uses: number, nowMs: number, expiresAtMs: number): Promise<{ readonly id: string; readonly secret: string }> {
    return this.inTurn(async () => {
      await this.forget(nowMs);
      if (this.roll.tokens.size >= MOST_TOKENS) throw new LongtailError(`there are ${MOST_TOKENS} tokens`, { code: 'refused', hint: 'Revoke some: longtail token list.' });
      const id = randomBytes(4).toString('hex');
      const secret = randomBytes(16).toString('hex');
      await this.save({ tokens: [{ id, secret: digest(secret).toString('hex'), role, createdAtMs: nowMs, expiresAtMs, usesLeft: uses, revoked: false }] });
      return { id, secret };
    });
  }

  /**
   * Takes one use of a token for a new identity, once `certify` has made its certificate, good until `expiresAtMs`, and gives that.
   * LongtailError `refused`; what `certify` throws leaves the token as it was.
   */
  redeem<Certified>(id: string, secret: string, name: string, nowMs: number, expiresAtMs: number, certify: (peer: PeerIdentity) => Promise<Certified>): Promise<Certified> {
    return this.inTurn(async () => {
      const token = this.roll.tokens.get(id);
      // One answer for both: whoever guesses learns nothing.
      if (token === undefined || !timingSafeEqual(digest(secret), Buffer.from(token.secret, 'hex'))) throw refused('the server knows no such token');
      if (token.revoked) throw refused(`the token ${id} was revoked`);
      if (token.expiresAtMs <= nowMs) throw refused(`the token ${id} expired at ${new Date(token.expiresAtMs).toISOString()}`);
      if (token.usesLeft < 1) throw refused(`the token ${id} is used up`);
      const identity = newIdentity(token.role, name, id, nowMs, expiresAtMs);
      const certified = await certify({ id: identity.id, role: identity.role });
      await this.save({ tokens: [{ ...token, usesLeft: token.usesLeft - 1 }], identities: [identity] });
      return certified;
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
    return this.inTurn(() => this.save({ identities: [{ ...this.roll.identities.get(id)!, expiresAtMs }] }));
  }

  /** LongtailError `refused` unless the identity was enrolled here and not revoked. */
  admit(peer: PeerIdentity): void {
    this.roll.admit(peer);
  }

  admits(peer: PeerIdentity): boolean {
    return this.roll.refusalOf(peer) === undefined;
  }

  /** What the token has let in stays, unless revoked with `enrolled`. Gives whom it was taken from. LongtailError `usage`. */
  revokeToken(id: string, enrolled: boolean): Promise<readonly string[]> {
    return this.inTurn(() => {
      const token = this.roll.tokens.get(id);
      if (token === undefined) throw new LongtailError(`there is no token ${id}`, { code: 'usage', hint: 'longtail token list names them.' });
      return this.revoke([token], enrolled ? [...this.roll.identities.values()].filter((identity) => identity.token === id) : []);
    });
  }

  /** By id, or by name where one alone has it. Gives its id. LongtailError `usage`. */
  revokeIdentity(idOrName: string): Promise<readonly string[]> {
    return this.inTurn(() => {
      const byId = this.roll.identities.get(idOrName);
      const found = byId ? [byId] : [...this.roll.identities.values()].filter(({ name, revoked }) => name === idOrName && !revoked);
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
    this.roll.hold(changed);
    const told = this.tell(changed);
    await this.table.save(changed);
    await told;
    return identities.map(({ id }) => id);
  }

  private async save(changed: Partial<AccessEntries>): Promise<void> {
    await this.table.save(changed);
    this.roll.hold(changed);
    await this.tell(changed);
  }

  /** What is over for long and means nothing any more. */
  private async forget(nowMs: number): Promise<void> {
    const before = nowMs - REMEMBERED_MS;
    const over = [this.roll.tokens, this.roll.identities].map((entries) => [...entries.values()].filter(({ expiresAtMs }) => expiresAtMs < before));
    if (over.every(({ length }) => length === 0)) return;
    await this.table.forget(before);
    for (const { id } of over[0]!) this.roll.tokens.delete(id);
    for (const { id } of over[1]!) this.roll.identities.delete(id);
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
