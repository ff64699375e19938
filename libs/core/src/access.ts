/** What somebody may do on a server; which calls that is, libs/transport says (roles.ts). Tokens name a role by its place here. */
export const ROLES = ['node', 'viewer', 'engineer', 'admin', 'standby'] as const;
export type Role = (typeof ROLES)[number];

/** Whom a server has let in. */
export interface PeerIdentity {
  readonly id: string;
  readonly role: Role;
}

/** The name in every server's certificate: servers are told apart by their authority, however they are reached. */
export const SERVER_NAME = 'longtail-server';

/** A join token that a server gave. */
export interface TokenEntry {
  readonly id: string;
  /** SHA-256, hexadecimal: the secret itself is kept nowhere. */
  readonly secret: string;
  readonly role: Role;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly usesLeft: number;
  readonly revoked: boolean;
}

/** Somebody whom a server has let in, as long as its certificate is good. */
export interface IdentityEntry extends PeerIdentity {
  readonly name: string;
  /** That it came with; empty: none. */
  readonly token: string;
  readonly enrolledAtMs: number;
  readonly expiresAtMs: number;
  readonly revoked: boolean;
}

export interface AccessEntries {
  readonly tokens: readonly TokenEntry[];
  readonly identities: readonly IdentityEntry[];
}

/** Where a server keeps whom it lets in. What resolves is durable. LongtailError `storage`, `unreachable`. */
export interface AccessTable {
  load(): Promise<AccessEntries>;
  /** New entries, or others of the same id; all of them or none. */
  save(entries: Partial<AccessEntries>): Promise<void>;
  /** These, and no others that were there before. */
  replace(entries: AccessEntries): Promise<void>;
  /** Forgets what expired before then. */
  forget(expiredBeforeMs: number): Promise<void>;
}
