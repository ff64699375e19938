import { LongtailError, type AccessEntries, type IdentityEntry, type PeerIdentity, type TokenEntry } from '@longtail/core';

const NEW_TOKEN = 'On the server: longtail token create, then come with the new token.';

/** Tokens and identities by id: what a server's book holds in memory, and its standby a copy of. */
export class Roll {
  readonly tokens = new Map<string, TokenEntry>();
  readonly identities = new Map<string, IdentityEntry>();

  constructor(entries: Partial<AccessEntries> = {}) {
    this.hold(entries);
  }

  list(): AccessEntries {
    return { tokens: [...this.tokens.values()], identities: [...this.identities.values()] };
  }

  /** New entries, or others of the same id. */
  hold({ tokens = [], identities = [] }: Partial<AccessEntries>): void {
    for (const token of tokens) this.tokens.set(token.id, token);
    for (const identity of identities) this.identities.set(identity.id, identity);
  }

  /** LongtailError `refused` unless the identity was enrolled here and not revoked. */
  admit(peer: PeerIdentity): void {
    const refusal = this.refusalOf(peer);
    if (refusal !== undefined) throw refusal;
  }

  /** Why the identity is not let in; undefined: it is. */
  refusalOf({ id, role }: PeerIdentity): LongtailError | undefined {
    const entry = this.identities.get(id);
    if (entry === undefined || entry.role !== role) return refused(`the server has not enrolled ${id}`);
    return entry.revoked ? refused(`the identity ${id} was revoked`) : undefined;
  }
}

export function refused(why: string): LongtailError {
  return new LongtailError(why, { code: 'refused', hint: NEW_TOKEN });
}
