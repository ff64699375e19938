import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { LongtailError, ROLES, type PeerIdentity, type Role } from '@longtail/core';
import { z } from 'zod';
import { readKept, writeKept, type Keep } from './kept.js';

const TOKEN = z.object({
  id: z.string(),
  /** SHA-256, hexadecimal: the book does not hold the secret itself. */
  secret: z.string(),
  role: z.enum(ROLES),
  createdAtMs: z.number(),
  expiresAtMs: z.number(),
  usesLeft: z.number(),
  revoked: z.boolean(),
});

const IDENTITY = z.object({
  id: z.string(),
  role: z.enum(ROLES),
  name: z.string(),
  token: z.string(),
  enrolledAtMs: z.number(),
  expiresAtMs: z.number(),
  revoked: z.boolean(),
});

const BOOK = z.object({ tokens: z.array(TOKEN), identities: z.array(IDENTITY) });

type Kept<T> = { -readonly [Field in keyof T]: T[Field] };
export type TokenEntry = Readonly<z.infer<typeof TOKEN>>;
export type IdentityEntry = Readonly<z.infer<typeof IDENTITY>>;

const MOST_TOKENS = 10_000;
/** How long a token that is over can still be told from one that never was. */
const REMEMBERED_MS = 30 * 24 * 3_600_000;

const NEW_TOKEN = 'On the server: longtail token create, then come with the new token.';

/** The tokens that a server gave, and who came with them. What changes is kept before it holds. */
export class AccessBook {
  private readonly tokens: Map<string, Kept<TokenEntry>>;
  private readonly identities: Map<string, Kept<IdentityEntry>>;
  private written: Promise<void> = Promise.resolve();

  private constructor(
    private readonly keep: Keep,
    book: z.infer<typeof BOOK>,
  ) {
    this.tokens = new Map(book.tokens.map((token) => [token.id, token]));
    this.identities = new Map(book.identities.map((identity) => [identity.id, identity]));
  }

  /** LongtailError `storage`. */
  static async open(keep: Keep): Promise<AccessBook> {
    return new AccessBook(keep, (await readKept(keep, BOOK)) ?? { tokens: [], identities: [] });
  }

  list(): { readonly tokens: readonly TokenEntry[]; readonly identities: readonly IdentityEntry[] } {
    return { tokens: [...this.tokens.values()], identities: [...this.identities.values()] };
  }

  /** The secret is told this once. */
  async createToken(role: Role, uses: number, nowMs: number, expiresAtMs: number): Promise<{ readonly id: string; readonly secret: string }> {
    this.forget(nowMs);
    if (this.tokens.size >= MOST_TOKENS) throw new LongtailError(`there are ${MOST_TOKENS} tokens`, { code: 'refused', hint: 'Revoke some: longtail token list.' });
    const id = randomBytes(4).toString('hex');
    const secret = randomBytes(16).toString('hex');
    this.tokens.set(id, { id, secret: digest(secret).toString('hex'), role, createdAtMs: nowMs, expiresAtMs, usesLeft: uses, revoked: false });
    await this.save();
    return { id, secret };
  }

  /** Takes one use of a token for a new identity, whose certificate is good until `expiresAtMs`. LongtailError `refused`. */
  async redeem(id: string, secret: string, name: string, nowMs: number, expiresAtMs: number): Promise<PeerIdentity> {
    const token = this.tokens.get(id);
    // One answer for both: whoever guesses learns nothing.
    if (token === undefined || !timingSafeEqual(digest(secret), Buffer.from(token.secret, 'hex'))) throw refused('the server knows no such token');
    if (token.revoked) throw refused(`the token ${id} was revoked`);
    if (token.expiresAtMs <= nowMs) throw refused(`the token ${id} expired at ${new Date(token.expiresAtMs).toISOString()}`);
    if (token.usesLeft < 1) throw refused(`the token ${id} is used up`);
    token.usesLeft--;
    return this.enrol(token.role, name, id, nowMs, expiresAtMs);
  }

  /** A new identity; `token` is the one it came with, if any. */
  async enrol(role: Role, name: string, token: string, nowMs: number, expiresAtMs: number): Promise<PeerIdentity> {
    this.forget(nowMs);
    const id = `${role}-${randomBytes(6).toString('hex')}`;
    this.identities.set(id, { id, role, name, token, enrolledAtMs: nowMs, expiresAtMs, revoked: false });
    await this.save();
    return { id, role };
  }

  /** Its certificate was renewed. */
  async renewed(id: string, expiresAtMs: number): Promise<void> {
    this.identities.get(id)!.expiresAtMs = expiresAtMs;
    await this.save();
  }

  /** LongtailError `refused` unless the identity was enrolled here and not revoked. */
  admit({ id, role }: PeerIdentity): void {
    const entry = this.identities.get(id);
    if (entry === undefined || entry.role !== role) throw refused(`the server has not enrolled ${id}`);
    if (entry.revoked) throw refused(`the identity ${id} was revoked`);
  }

  /** What the token has let in stays, unless revoked with `enrolled`. Gives whom it was taken from. LongtailError `usage`. */
  async revokeToken(id: string, enrolled: boolean): Promise<readonly string[]> {
    const token = this.tokens.get(id);
    if (token === undefined) throw new LongtailError(`there is no token ${id}`, { code: 'usage', hint: 'longtail token list names them.' });
    token.revoked = true;
    return this.revoke(enrolled ? [...this.identities.values()].filter((identity) => identity.token === id) : []);
  }

  /** By id, or by name where one alone has it. Gives its id. LongtailError `usage`. */
  async revokeIdentity(idOrName: string): Promise<readonly string[]> {
    const byId = this.identities.get(idOrName);
    const found = byId ? [byId] : [...this.identities.values()].filter(({ name, revoked }) => name === idOrName && !revoked);
    if (found.length === 1) return this.revoke(found);
    const problem = found.length === 0 ? 'nobody enrolled is called' : `${found.length} are called`;
    const ids = found.map(({ id }) => id).join(', ');
    throw new LongtailError(`${problem} ${idOrName}`, { code: 'usage', hint: ids ? `Say which: ${ids}.` : 'longtail token list names them.' });
  }

  private async revoke(identities: readonly Kept<IdentityEntry>[]): Promise<readonly string[]> {
    for (const identity of identities) identity.revoked = true;
    await this.save();
    return identities.map(({ id }) => id);
  }

  /** What is over for long and means nothing any more. */
  private forget(nowMs: number): void {
    for (const [id, { expiresAtMs }] of this.tokens) if (expiresAtMs + REMEMBERED_MS < nowMs) this.tokens.delete(id);
    for (const [id, { expiresAtMs }] of this.identities) if (expiresAtMs + REMEMBERED_MS < nowMs) this.identities.delete(id);
  }

  /** One write after the other; each writes what holds by then. */
  private save(): Promise<void> {
    const write = (): Promise<void> => writeKept(this.keep, this.list());
    return (this.written = this.written.then(write, write));
  }
}

function digest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

function refused(why: string): LongtailError {
  return new LongtailError(why, { code: 'refused', hint: NEW_TOKEN });
}
